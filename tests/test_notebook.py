"""The notebooks are stored without outputs, and every cell of the lecture notebook runs."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import feedforward

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_notebook_is_stored_without_outputs_and_has_short_cells(path: Path) -> None:
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.metadata, cell.source
        if cell.cell_type == "code":
            assert not cell.outputs, cell.source
            assert cell.execution_count is None, cell.source
            assert cell.source.count("\n") < 25, "a cell must have at most 25 lines"


@pytest.mark.slow
def test_lecture_notebook_runs_on_the_demo_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEEDFORWARD_LECTURE", "demo")
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # otherwise, ipykernel does not show what native code writes
    notebook = nbformat.read(NOTEBOOKS / "lecture.ipynb", nbformat.NO_CONVERT)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    mime_types = [kind for output in outputs for kind in output.get("data", {})]
    assert mime_types.count("image/png") == 8  # a digit and the slides' figures
    texts = " ".join(output.data["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {}))
    assert "test accuracy: 0." in texts
    assert "undecided" in texts or "supported" in texts
    assert not [output.text for output in outputs if output.get("name") == "stderr"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_notebook_uses_only_the_public_api(path: Path) -> None:
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    imports = re.findall(r"^(?:from|import) (feedforward\S*.*)$", code, re.MULTILINE)
    assert set(imports) <= {"feedforward as ff"}
    assert set(re.findall(r"\bff\.(\w+)", code)) <= set(feedforward.__all__)
