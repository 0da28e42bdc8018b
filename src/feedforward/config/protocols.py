"""Which of the protocols in params.yaml is the main one."""

from feedforward.config.schema import Params


def main(params: Params) -> str:
    """The protocol whose results are shown first: `fair`, if listed, in whatever order."""
    return "fair" if "fair" in params.protocols else params.protocols[0]
