import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.pipeline import copy_project, planned, snakemake

from vdiff.config import (
    PAPER,
    Config,
    Evaluation,
    Experiment,
    Likelihood,
    Network,
    Run,
    Sampling,
    Training,
    Variance,
    load_config,
    merge,
    preset_names,
    run_of,
    validate,
)
from vdiff.errors import VdiffError


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_valid(preset):
    config = load_config({"preset": preset})
    assert config.preset == preset
    assert config.experiments


def test_the_presets_are_the_promised_ones():
    assert set(preset_names()) == {"demo", "laptop", "paper", "record", "smoke"}
    assert load_config().preset == "demo"


def in_digits(keys):
    return {"experiments": {"digits": keys}}


def in_swissroll(trajectory):
    return {"experiments": {"swissroll": {"trajectory": trajectory}}}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"preset": "huge"}, ["preset", "'huge'", "demo"]),
        ({"only": ["cats"]}, ["only", "'cats'", "digits"]),
        ({"only": []}, ["only", "empty"]),
        ({"data": {"cifar": "npz:a.npz"}}, ["data", "cifar10", "npz:PATH"]),
        ({"data": {"digits": "a.npz"}}, ["data", "npz:PATH"]),
        ({"data": {"digits": "npz:photos.npz"}}, ["two experiments", "photos"]),
        ({"data": {"digits": "npz:a b.npz"}}, ["'a b'", "letters"]),
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
        ({"preset": "../../x"}, ["preset", "'../../x'", "demo"]),
        ({"results": "a{b}"}, ["results", "'a{b}'", "braces"]),
        (in_digits({"evaluation": {"estimators": ["efficient", "efficient"]}}), ["twice"]),
        (in_digits({"evaluation": {"estimators": []}}), ["estimators", "at least 1"]),
        (in_digits({"network": {"multipliers": []}}), ["multipliers", "at least 1"]),
        (in_digits({"network": {"channels": 9}}), ["channels", "9", "multiple of 2"]),
        (in_digits({"network": {"multipliers": [1, 1, 1, 1, 1]}}), ["divisible by 16", "8"]),
        ({"experiments": {"photos": {"network": {"kind": "mlp"}}}}, ["photos has images", "unet"]),
        (in_digits({"network": {"kind": "mlp"}}), ["parameterisation is levels", "kind unet"]),
        (
            {"experiments": {"swissroll": {"network": {"mirrored": True}}}},
            ["mirrored is true", "kind unet"],
        ),
        (in_digits({"theory": {}}), ["digits has images", "theory needs points"]),
        (in_digits({"trajectory": {}}), ["digits has images", "trajectory needs points"]),
        (in_digits({"distances": {}}), ["digits has images", "distances needs points"]),
        ({"experiments": {"swissroll": {"sampling": {}}}}, ["sampling needs images"]),
        ({"experiments": {"swissroll": {"discrete": {}}}}, ["discrete needs images"]),
        ({"experiments": {"digits": {"theory": {}}}}, ["theory needs points"]),
        (in_swissroll({"lmbds": [0.5]}), ["lmbds lacks 0", "strips"]),
        (in_swissroll({"lmbds": [0, 1, -1000000]}), ["lmbds.2", "-100"]),
        (in_swissroll({"lmbds": []}), ["lmbds", "at least 1"]),
        (in_swissroll({"lmbds": [0, 0, 1]}), ["lmbds", "twice"]),
        (in_digits({"sweep": {"training.lr": [0.001, 0.001]}}), ["sweep", "twice"]),
        (in_digits({"sweep": {"training.lr": []}}), ["sweep", "training.lr", "empty"]),
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


def test_switching_off_one_of_the_papers_arms_leaves_the_other():
    config = load_config({"preset": "paper", "experiments": {"mnist": {"arms": {PAPER[1]: None}}}})
    assert list(config.experiments["mnist"].arms) == ["debias-True"]
    with pytest.raises(VdiffError, match=r"arms is .* every arm is switched off"):
        off = {"mnist": {"arms": dict.fromkeys(PAPER)}}
        load_config({"preset": "paper", "experiments": off})


def test_data_puts_a_file_in_the_place_of_a_set_and_into_the_name():
    config = load_config({"data": {"digits": "npz:some/own_digits.npz"}})
    assert list(config.experiments) == ["swissroll", "own_digits", "photos"]
    assert config.experiments["own_digits"].dataset == "npz:some/own_digits.npz"
    other = {"mine": {"dataset": "digits"}}
    kept = load_config({"data": {"digits": "npz:a.npz"}, "experiments": other}).experiments
    assert (kept["mine"].dataset, kept["a"].dataset) == ("npz:a.npz", "npz:a.npz")


def test_only_keeps_the_named_experiments():
    assert list(load_config({"only": ["digits"]}).experiments) == ["digits"]


def test_the_key_of_a_run_follows_its_course_and_not_its_length():
    run = run_of(load_config(), "digits", "debias-True", 0)

    def other(**training):
        return validate(Run, merge(run.model_dump(), {"training": training})).key("data")

    assert other(iterations=7, checkpoint_every=3) == run.key("data")
    assert other(lr=0.5) != run.key("data")
    assert run.key("other data") != run.key("data")


def test_an_experiment_has_the_papers_two_arms_unless_it_names_its_own():
    digits = load_config().experiments["digits"]
    assert {name: arm.debias for name, arm in digits.arms.items()} == {
        "debias-False": False,
        "debias-True": True,
        "improved": True,
    }
    assert digits.compared == [("debias-True", "debias-False"), ("improved", "debias-True")]
    assert digits.claimed == ("debias-True", "debias-False")
    plain = load_config({"preset": "smoke"}).experiments["digits"]
    assert list(plain.arms) == ["debias-False", "debias-True"]
    assert plain.compared == [("debias-True", "debias-False")]


def test_claims_on_debiasing_need_an_arm_of_each_kind():
    e = load_config(in_digits({"arms": {"debias-False": None}})).experiments["digits"]
    assert e.compared == [("improved", "debias-True")]
    assert e.claimed is None


def test_an_arm_is_laid_over_its_experiment():
    arms = {"debias-True": {}, "wide": {"debias": False, "network": {"channels": 48}}}
    e = load_config(in_digits({"arms": arms, "pairs": [["wide", "debias-True"]]}))
    digits = e.experiments["digits"]
    assert digits.arms["wide"].network.channels == 48
    assert digits.arms["wide"].network.groups == digits.arms["debias-True"].network.groups == 8
    assert digits.arms["wide"].training == digits.training
    assert digits.compared == [("wide", "debias-True")]
    run = run_of(e, "digits", "wide", 0)
    assert (run.debias, run.network.channels) == (False, 48)


def test_a_sweep_is_an_arm_for_each_value():
    e = load_config(in_digits({"sweep": {"training.lr": [0.001, 0.0010000001]}}))
    digits = e.experiments["digits"]
    assert len(digits.arms) == 6
    for arm in ("debias-True", "improved"):
        assert digits.arms[f"{arm}_lr=0.0010000001"].training.lr == 0.0010000001
    assert ("debias-True_lr=0.001", "debias-False_lr=0.001") == digits.compared[0]
    assert ("improved_lr=0.001", "debias-True_lr=0.001") in digits.compared
    assert len(digits.compared) == 4


def test_null_switches_an_arm_an_experiment_and_a_section_off():
    off = {"debias-True": {}, "debias-False": None, "improved": None}
    over = {"digits": {"sampling": None, "arms": off}}
    config = load_config({"experiments": {**over, "photos": None}})
    assert list(config.experiments) == ["swissroll", "digits"]
    assert list(config.experiments["digits"].arms) == ["debias-True"]
    assert config.experiments["digits"].sampling is None


def test_another_kind_of_sde_replaces_its_base():
    config = load_config(
        {
            "experiments": {
                "digits": {
                    "sde": {"beta_max": 15},
                    "arms": {"a": {"debias": True, "sde": {"kind": "cosine"}}},
                }
            }
        }
    )
    assert config.experiments["digits"].arms["a"].sde.model_dump() == {
        "kind": "cosine", "end": 0.01, "T": 1.0, "eps_t": 1e-3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"arms": {"debias-True": {"debias": False}}}, ["debias-True", "debias False"]),
        ({"arms": {"a b": {"debias": True}}}, ["'a b'", "letters"]),
        ({"arms": {"a": {"debias": True, "training": {"lr": -1}}}}, ["arms.a.training.lr", "-1"]),
        ({"arms": {"a": {}}}, ["arms.a.debias", "missing"]),
        (
            {"arms": {"a": {"debias": True}}, "pairs": [["a", "b"]]},
            ["pairs", "'b'", "debias-True, improved, a"],
        ),
        ({"arms": {"a": {"debias": True}}, "pairs": [["a", "a"]]}, ["pairs", "itself"]),
        ({"sweep": {"training.rate": [1]}}, ["training.rate", "unknown"]),
        ({"sde": {"kind": "cosine", "beta_max": 3}}, ["sde.beta_max", "unknown"]),
    ],
)
def test_impossible_arms_are_refused_by_name(keys, words):
    with pytest.raises(VdiffError) as fault:
        load_config(in_digits(keys))
    for word in words:
        assert word in str(fault.value)


def test_a_whole_configuration_survives_being_written_out():
    config = load_config({"preset": "smoke"})
    assert validate(Config, config.model_dump()) == config


def test_the_command_lines_word_null_switches_a_section_off():
    """Snakemake hands nested values of --config over as text."""
    assert load_config(in_digits({"sampling": "null"})).experiments["digits"].sampling is None


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    config = load_config({"results": "~/x", "data_root": "~/d"})
    assert (config.results, config.data_root) == ("/home/me/x", "/home/me/d")


# Values of every sort for every sort of key, among them those that once slipped through.
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 300), st.floats(), st.text(max_size=4),
    st.sampled_from(["unet", "mlp", "cosine", "efficient", "heun", "digits", "npz:", "null"]),
    st.lists(st.one_of(st.integers(-2, 5), st.floats(-2, 2), st.text(max_size=2)), max_size=3),
    st.dictionaries(st.sampled_from(["lr", "kind", "x", "training"]), st.integers(), max_size=2),
)  # fmt: skip
KEYS = st.sampled_from(
    [*Experiment.model_fields, "lrs", "", "training.lr"]
)  # of an experiment, and some that are none
SECTIONS = {
    name: st.dictionaries(st.sampled_from([*section.model_fields, "x"]), VALUES, max_size=3)
    for name, section in (
        ("network", Network), ("training", Training), ("evaluation", Evaluation),
        ("sampling", Sampling), ("likelihood", Likelihood), ("variance", Variance),
    )
}  # fmt: skip


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(
    st.dictionaries(KEYS, VALUES, max_size=2),
    st.fixed_dictionaries({}, optional=SECTIONS),
    st.dictionaries(st.sampled_from(["only", "threads", "results", "x"]), VALUES, max_size=2),
)
def test_any_configuration_is_refused_in_one_sentence_or_valid(keys, sections, top):
    try:
        config = load_config({**top, "preset": "smoke", **in_digits({**keys, **sections})})
    except VdiffError as fault:
        assert str(fault).endswith(".")
        assert "\n" not in str(fault)
    else:
        assert validate(Config, config.model_dump()) == config
        for name, e in config.experiments.items():
            for arm in e.arms:
                assert run_of(config, name, arm, e.seeds[0]).who["arm"] == arm


@pytest.mark.long
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(KEYS, VALUES, max_size=1), st.fixed_dictionaries({}, optional=SECTIONS))
def test_any_configuration_is_refused_or_planned_by_snakemake(tmp_path_factory, keys, sections):
    """As a configfile and a dry run: one sentence, or the jobs."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    content = {"preset": "smoke", **in_digits({**keys, **sections})}
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    try:
        load_config(yaml.safe_load((folder / "mine.yaml").read_text()))
    except VdiffError as fault:
        output = snakemake(folder, "-n", "--configfile", "mine.yaml", "--config", code=1)
        assert str(fault) in output
    else:
        output = snakemake(folder, "-n", "--configfile", "mine.yaml", "--config")
        assert planned(output)["train"]
    assert "Traceback" not in output
