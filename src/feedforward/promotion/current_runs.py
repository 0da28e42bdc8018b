"""Whether a run is current: trained on the current data, with parameters that a variant has now.

Runs are compared by parameters, not by the name that the variant had when they were trained. Training reuses finished
runs by fingerprint, so a variant that was renamed, or that has the values of a sweep's trial, has no runs of its name.
"""

from collections.abc import Mapping

from feedforward.config.schema import Params
from feedforward.data import manifest as manifest_file
from feedforward.experiments import plan
from feedforward.tracking import LoggedRun

IDENTITY = ("dataset", "variant", "seed")  # logged as parameters of a run, but not compared: they identify the run
PROTOCOLS = ("fair", "lecture")


def variants_of(params: Params, name: str, run: LoggedRun) -> list[str]:
    """The variants in params.yaml that the run belongs to: several if they are equal, none if the run is not current.

    Code is not compared.
    """
    if run.tags.get("data_digest") != manifest_file.load(name)["data_digest"]:
        return []
    logged = _logged_parameters(run)
    return [variant for variant, planned in _planned_parameters(params, name, run).items() if planned == logged]


def outdated_reason(params: Params, name: str, run: LoggedRun) -> str | None:
    """How the run's data or parameters differ from the current ones; None if the run is current."""
    if variants_of(params, name, run):
        return None
    digest = manifest_file.load(name)["data_digest"]
    title = f"run {run.run_id[:8]} ({run.name})"
    if run.tags.get("data_digest") != digest:
        return f"{title} was trained on different data ({run.tags.get('data_digest', '')[:12]}, now {digest[:12]})"
    planned = _planned_parameters(params, name, run).get(run.tags.get("variant", ""))
    if planned is None:
        return f"{title} is no longer configured in params.yaml"
    logged = _logged_parameters(run)
    keys = [key for key in {**planned, **logged} if planned.get(key) != logged.get(key)]
    return f"{title} was trained with different parameters ({', '.join(keys)})"


def _logged_parameters(run: LoggedRun) -> dict[str, str]:
    return {key: value for key, value in run.params.items() if key not in IDENTITY}


def _planned_parameters(params: Params, name: str, run: LoggedRun) -> Mapping[str, Mapping[str, str]]:
    """The parameters with which runs of the same role, protocol and seed would be trained now, by variant."""
    protocol, role = run.tags.get("protocol", ""), run.tags.get("role", "")
    if protocol not in PROTOCOLS:
        return {}
    packs = plan.plan(params, protocol, [name], seeds=[int(run.tags.get("seed", 0))])
    members = [member for pack in packs if pack.role == role for member in pack.members]
    return {member.variant: {key: str(value) for key, value in member.parameters.items()} for member in members}
