import pytest

from vdiff.config import Run, load_config, merge, preset_names, run_of, validate
from vdiff.errors import VdiffError


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_valid(preset):
    config = load_config({"preset": preset})
    assert config.preset == preset
    assert config.experiments


def test_the_presets_are_the_promised_ones():
    assert set(preset_names()) == {"demo", "laptop", "paper", "smoke"}
    assert load_config().preset == "demo"


def in_digits(keys):
    return {"experiments": {"digits": keys}}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"preset": "huge"}, ["preset", "'huge'", "demo"]),
        ({"only": ["cats"]}, ["only", "'cats'", "digits"]),
        ({"only": []}, ["only", "empty"]),
        ({"colour": 1}, ["colour", "unknown"]),
        (in_digits({"training": {"lrate": 1}}), ["digits.training.lrate", "unknown"]),
        (in_digits({"training": {"lr": "fast"}}), ["training.lr", "'fast'"]),
        (in_digits({"training": {"lr": -1}}), ["training.lr", "-1", "greater than 0"]),
        (in_digits({"seeds": [0, 0]}), ["seeds", "twice"]),
        (in_digits({"seeds": []}), ["seeds", "at least 1"]),
        (in_digits({"sde": {"eps_t": 2}}), ["sde", "eps_t is 2", "below T"]),
        ({"experiments": {"a b": {"dataset": "digits"}}}, ["'a b'", "letters"]),
        ({"experiments": {"new": {}}}, ["experiments.new.dataset", "missing"]),
        (in_digits({"dataset": "nist"}), ["dataset", "'nist'", "swissroll"]),
        (in_digits({"sampling": {"lmbd": 2}}), ["sampling.lmbd", "2"]),
        ({"experiments": {"swissroll": {"trajectory": {"columns": [5000]}}}}, ["5000", "last"]),
    ],
)
def test_a_fault_is_one_sentence_that_names_it(overrides, words):
    with pytest.raises(VdiffError) as fault:
        load_config(overrides)
    sentence = str(fault.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


def test_overrides_are_laid_over_mapping_by_mapping():
    base = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert merge(base, {"a": {"b": 3}, "d": [2]}) == {"a": {"b": 3, "c": 2}, "d": [2]}
    config = load_config(in_digits({"seeds": [4]}))
    assert config.experiments["digits"].seeds == [4]
    assert config.experiments["photos"].seeds == [0]


def test_only_keeps_the_named_experiments():
    assert list(load_config({"only": ["digits"]}).experiments) == ["digits"]


def test_the_key_of_a_run_follows_its_course_and_not_its_length():
    run = run_of(load_config(), "digits", True, 0)

    def other(**training):
        return validate(Run, merge(run.model_dump(), {"training": training})).key

    assert other(iterations=7, checkpoint_every=3) == run.key
    assert other(lr=0.5) != run.key
