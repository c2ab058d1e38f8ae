from __future__ import annotations

import dataclasses

import pytest

from prunus.experiments.recipe import Recipe
from prunus.experiments.seeds import Seeds
from prunus.experiments.work import stated_plan
from prunus.training.plan import Plan


def steps(work):
    return [(step.position, step.of, round(step.sparsity, 4), step.follows) for step in work.steps]


@pytest.mark.parametrize(
    ("technique", "expected", "states"),
    [
        ({"schedule": "one-shot"}, [(1, 2, 0.5, "dense"), (2, 2, 0.8, "dense")], 2),
        ({"schedule": "levels"}, [(1, 2, 0.5, "dense"), (2, 2, 0.8, "previous")], 2),
        (
            {"schedule": "iterative", "fraction": 0.3},
            # 0.5 in two rounds of 1 − √0.5, then 0.8 in three of 1 − (0.2 / 0.5)^⅓
            [
                (1, 5, 0.2929, "dense"),
                (2, 5, 0.5, "previous"),
                (3, 5, 0.6316, "previous"),
                (4, 5, 0.7286, "previous"),
                (5, 5, 0.8, "previous"),
            ],
            5,
        ),
        ({"schedule": "linear"}, [(1, 2, 0.5, "initial"), (2, 2, 0.8, "initial")], 2),
        ({"schedule": "cubic"}, [(1, 2, 0.5, "initial"), (2, 2, 0.8, "initial")], 2),
        *(
            ({"schedule": schedule, "when": "before"}, [(1, 2, 0.5, "initial"), (2, 2, 0.8, "initial")], 2)
            for schedule in ("one-shot", "levels", "iterative")
        ),
        (
            {"schedule": "levels", "retrain": "rewind", "rewind_step": 3},
            [(1, 2, 0.5, "dense"), (2, 2, 0.8, "previous")],
            3,
        ),
        (
            {"schedule": "levels", "retrain": "rewind-lr", "rewind_step": 3},
            [(1, 2, 0.5, "dense"), (2, 2, 0.8, "previous")],
            2,
        ),
    ],
)
def test_every_schedule_has_its_steps(works, technique, expected, states):
    dense, work = works(technique)
    assert steps(work) == expected
    assert work.states_planned == states
    assert (dense.technique, dense.steps, dense.states_planned, dense.label) == (None, [], 2, "dense")


def test_every_target_is_reached_exactly_whatever_the_rounds(works):
    for fraction in (0.1, 0.35, 0.7):
        _, work = works({"schedule": "iterative", "fraction": fraction}, sparsities=[0.3, 0.9, 0.99])
        assert {0.3, 0.9, 0.99} <= {step.sparsity for step in work.steps}


def test_the_dense_runs_come_first_and_every_technique_has_every_seed(works):
    found = works({"name": "a"}, {"name": "b"}, seeds=[3, 1])
    assert [(work.label, work.seeds.label) for work in found] == [
        ("dense", 3), ("dense", 1), ("a", 3), ("a", 1), ("b", 3), ("b", 1),
    ]  # fmt: skip
    assert len({work.id for work in found}) == 6
    assert [work.dense.id for work in found] == [found[0].id, found[1].id] * 3


def test_replicates_that_differ_in_pruning_alone_share_their_dense_network(works):
    seeds = [0, {"init": 0, "order": 0, "pruning": 1}, {"init": 0, "order": 1, "pruning": 0}]
    found = works({"name": "a"}, seeds=seeds)
    assert [work.label for work in found] == ["dense", "dense", "a", "a", "a"]
    assert [work.dense.id for work in found[2:]] == [found[0].id, found[0].id, found[1].id]
    assert len({work.id for work in found}) == len({work.seeds.label for work in found[2:]}) + 2 == 5


def test_a_replicate_is_the_same_work_in_every_recipe(works):
    own = {"init": 4, "order": 5, "pruning": 6}
    alone, among = works(seeds=[own]), works(seeds=[0, 1, own, 2])
    assert {work.id for work in alone} < {work.id for work in among}
    labels = [{work.id: work.seeds.label for work in found} for found in (alone, among)]
    assert labels[0].items() < labels[1].items()
    assert works(seeds=[{"init": 7, "order": 7, "pruning": 7}]) == works(seeds=[7])


def test_equal_seeds_are_their_own_label():
    assert [Seeds(5, 5, 5).label, Seeds(5, 5).label, Seeds(0, 0, 0).label] == [5, 5, 0]
    labels = {Seeds(*seeds).label for seeds in [(0, 1, 0), (0, 0, 1), (1, 0, 0), (0, 1), (1, 0)]}
    assert len(labels) == 5
    assert all(10**6 <= label < 10**7 for label in labels)


def generators(work):
    return {
        "init": work.init_seed(),
        "order": work.order_seed(),
        **{f"finetuning {position}": work.finetuning_seed(position) for position in (1, 2)},
        **{
            f"{purpose} {position}": work.pruning_seed(purpose, position)
            for purpose in ("pruning", "reinit")
            for position in (1, 2)
        },
        **{f"calibration {position}": work.calibration_seed(position) for position in (1, 2)},
    }


def test_no_two_purposes_share_a_generator(works):
    found = works({}, {"criterion": "random"}, seeds=[0, 1])
    drawn = [
        seed for work in found[2:] for name, seed in generators(work).items() if name.startswith(("pruning", "reinit"))
    ]
    assert len(set(drawn)) == len(drawn)
    assert len(set(generators(found[2]).values())) == 10


def test_what_happens_to_the_kept_weights_changes_nothing_that_is_drawn_to_choose_them(works):
    plain, other, another = works({"name": "a"}, {"retrain": "rewind", "control": "shuffle"}, {"criterion": "random"})[
        1:
    ]
    assert generators(plain) == generators(other)
    assert plain.pruning_seed("pruning", 1) != another.pruning_seed("pruning", 1)
    assert plain.calibration_seed(1) == another.calibration_seed(1)


@pytest.mark.parametrize(
    ("purpose", "drawn"),
    [
        ("init", {"init"}),
        ("order", {"order", "finetuning 1", "finetuning 2"}),
        ("pruning", {f"{name} {step}" for name in ("pruning", "calibration", "reinit") for step in (1, 2)}),
    ],
)
def test_a_seed_changes_what_it_names_and_nothing_else(works, purpose, drawn):
    same = {"init": 1, "order": 2, "pruning": 3}
    _, one = works(seeds=[same])
    _, other = works(seeds=[{**same, purpose: 9}])
    before, after = generators(one), generators(other)
    assert {name for name in before if before[name] != after[name]} == drawn


def test_what_determines_the_result_determines_the_id(works):
    usual = works()[1].id
    assert works()[1].id == usual
    others = [
        works({"schedule": "one-shot"}),
        works(sparsities=[0.5]),
        works(seeds=[1]),
        works(training={"epochs": 3}),
        works(task={"data": "digits", "model": "mlp"}),
    ]
    assert len({usual, *(found[1].id for found in others)}) == 6


def test_what_a_recipe_asks_and_chooses_determines_no_work(works):
    usual = [work.id for work in works()]
    assert [work.id for work in works(title="other", choose={"by": "loss"})] == usual
    assert [work.id for work in works({"schedule": "levels", "when": "after", "fraction": 0.2})] == usual


def test_the_dense_network_does_not_depend_on_the_technique(works):
    assert works({"criterion": "random"}, sparsities=[0.9])[0].id == works()[0].id


def test_a_changed_source_of_the_user_makes_other_work(values, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    ids = []
    for source in ("x = 1", "x = 2", "x = 1"):
        (tmp_path / "my_source.py").write_text(source)
        task = Recipe.of(values(task="my_source:task")).works()
        criterion = Recipe.of(values({"criterion": "my_source:score"})).works()
        model = Recipe.of(values(task={"data": "digits", "model": "my_source:model"})).works()
        ids.append([work.id for work in (*task, *criterion, *model)])
    first, changed, back = ids
    assert first == back
    assert [one == other for one, other in zip(first, changed, strict=True)] == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]


def test_the_ids_of_work_stay_as_they_are():
    # A new setting whose default changes nothing must not change these: recorded work would be done again.
    recipe = {
        "seeds": [0, {"init": 1, "order": 2, "pruning": 3}],
        "sparsities": [0.5, 0.9],
        "task": {"data": "digits", "model": "mlp"},
        "technique": [{}, {"criterion": "random", "schedule": "iterative", "retrain": "rewind"}],
    }
    assert [work.id for work in Recipe.of(recipe).works()] == [
        "2d78110d24b200d1",
        "d6bd4d34debcb7a6",
        "b1372a30d9a73a52",
        "0eb42b923eed569d",
        "dd0d1a9965cae382",
        "7ee8cc053b4d9ae6",
    ]
    work = Recipe.of(recipe).works()[-1]
    assert (work.seeds.label, work.init_seed(), work.order_seed()) == (
        6028852,
        3160826001913187804,
        4599455226155713077,
    )
    assert (work.finetuning_seed(1), work.pruning_seed("pruning", 1)) == (8440128112643035606, 656596689788338061)


def test_a_plan_states_what_differs_from_its_defaults():
    assert stated_plan(Plan()) == {}
    for field in dataclasses.fields(Plan):
        assert stated_plan(Plan(**{field.name: field.default})) == {}
    changed = {"epochs": 3, "decay": "steps", "milestones": (0.5,)}
    assert stated_plan(Plan(**changed)) == changed
