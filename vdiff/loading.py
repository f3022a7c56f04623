"""Models by name: from a run's folder, from a file of weights, or of those that come with vdiff.

```python
model = vdiff.load("results/demo/runs/digits/debias-True/seed-0").fit()
bound = model.log_prob(model.test_examples(8))
```
"""

from pathlib import Path

from vdiff.errors import VdiffError, needed
from vdiff.files.weights import ENDING, Snapshot
from vdiff.likelihood.model import Model
from vdiff.machine.devices import Wanted, choose
from vdiff.pretrained import model_of, names, read_pretrained
from vdiff.trained import Trained


def load(name: str | Path, data_root: str | Path = "data", device: str = "cpu") -> Model:
    """The model of a run, of a file of weights, or one that comes with vdiff.

    Arguments:
        name: A run's folder, such as results/demo/runs/digits/debias-True/seed-0, for the model at
            its last snapshot, with its data; a file of `vdiff export-weights`; or the name of a
            network that comes with vdiff, such as mnist-record (`vdiff.pretrained.names()`). The
            last two need no data.
        data_root: The folder of the torchvision sets, for runs on those.
        device: auto, cpu, cuda, cuda:N, or another device of torch's; a GPU may be shared.

    Raises:
        VdiffError: When the name is none of these, files are missing or do not fit, or torch cannot
            use the device.
    """
    known = names()
    meant = f"a run's folder, a file of weights, or one of {', '.join(known) or 'none'}"
    if not isinstance(name, str | Path) or not str(name):
        raise VdiffError(f"The model's name is {name!r}; it must be {meant}.")
    chosen, path = choose(Wanted(device, share=True)), Path(name)
    if path.suffix == ENDING or (str(name) in known and not path.exists()):
        return read_pretrained(known.get(str(name), path), chosen)
    if not (path / "run.json").exists():
        raise VdiffError(f"{path / 'run.json'} does not exist; a model's name must be {meant}.")
    with needed():
        from vdiff.steps.opening import open_folder
    return model_at(open_folder(path, Path(data_root), chosen))


def model_at(trained: Trained, snapshot: Snapshot | None = None) -> Model:
    """The likelihood of one snapshot of a run, by default the last, with its data."""
    a, data = trained.drift(snapshot), trained.data
    return model_of(trained.run, a, data.space, trained.device, data)
