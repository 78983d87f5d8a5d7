"""Starting, reweighing, stopping: once each, and never two experiments over one unit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from experiments.designs import experiment
from experiments.laboratory import START, Laboratory, hours

from domain.errors import ConflictError, InputError, NotFoundError
from resources.database.repositories import experiments
from resources.experiments.lifecycle import start, stop
from resources.experiments.live import LiveExperiments


def test_a_start_fixes_prompt_versions_and_buckets(lab: Laboratory) -> None:
    spec = experiment(variants=2)
    started, changed = start(lab.database, spec, started_by="ada", now=START)
    assert changed
    assert started.record.prompt_version_ids == {"control": lab.version("v1"), "shorter": lab.version("v2")}
    assert started.epochs[0].allocation.shares() == {"control": 0.5, "shorter": 0.5}
    with lab.database.session(read_only=True) as session:
        assert experiments.get(session, "wording") == started.record
    assert start(lab.database, spec, started_by="bob", now=START + hours(1)) == (started, False)


def test_an_unknown_prompt_version_is_named(lab: Laboratory) -> None:
    spec = experiment()
    variants = [variant.model_copy(update={"prompt": "v9"}) for variant in spec.variants]
    with pytest.raises(NotFoundError, match="no prompt version 'v9'"):
        lab.start(spec.model_copy(update={"variants": tuple(variants)}))


def test_a_running_experiments_design_stays(lab: Laboratory) -> None:
    lab.start()
    with pytest.raises(InputError, match="now differs in alpha") as caught:
        lab.start(alpha=0.2)
    assert caught.value.field == "alpha"
    assert lab.start(description="Other words.", stop="manual").record.revision == 2


def test_weights_change_while_it_runs_and_answered_units_stay(lab: Laboratory) -> None:
    small = experiment()
    small = small.model_copy(
        update={"variants": (small.variants[0].model_copy(update={"weight": 9}), small.variants[1])}
    )
    started = lab.start(small)
    names = [f"user-{number}" for number in range(300)]
    lab.traffic(started, 150, lambda _: 0.5, names=names)
    live = LiveExperiments(lab.database, clock=lambda: START + hours(5))
    before = {name: live.assign("wording", name).variant for name in names}

    ramped = lab.start(experiment(), now=START + hours(4))
    live = LiveExperiments(lab.database, clock=lambda: START + hours(5))
    after = {name: live.assign("wording", name).variant for name in names}

    assert [epoch.since for epoch in ramped.epochs] == [START, START + hours(4)]
    assert [before[name] for name in names[:150]] == [after[name] for name in names[:150]]
    moved = {(before[name], after[name]) for name in names[150:] if before[name] != after[name]}
    assert moved == {("control", "shorter")}
    twenty = (small.variants[0].model_copy(update={"weight": 20}), small.variants[1])
    with pytest.raises(InputError, match="no more uneven than at the start"):
        lab.start(small.model_copy(update={"variants": twenty}), now=START + hours(5))


def test_buckets_of_a_layer_are_given_once(lab: Laboratory) -> None:
    lab.start(name="first", layer={"name": "shop", "end": 6000})
    with pytest.raises(InputError, match="overlap those of experiment 'first'"):
        lab.start(name="second", layer={"name": "shop", "start": 5000})
    lab.start(name="third", layer={"name": "shop", "start": 6000})
    stop(lab.database, "first", kind="person", reason="enough", stopped_by="ada", now=START + hours(1))
    lab.start(name="second", layer={"name": "shop", "start": 5000, "end": 6000})


def test_of_many_that_start_at_once_in_one_place_one_does(lab: Laboratory) -> None:
    def attempt(number: int) -> bool:
        try:
            lab.start(name=f"e{number}")
        except InputError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(attempt, range(6))) == 1
    with lab.database.session(read_only=True) as session:
        assert len(experiments.list_experiments(session, state="running")) == 1


def test_a_stop_is_recorded_with_its_reason_once(lab: Laboratory) -> None:
    lab.start()
    stopped = stop(lab.database, "wording", kind="person", reason="It is rude.", stopped_by="ada", now=START + hours(2))
    assert (stopped.state, stopped.stop_reason, stopped.stopped_by) == ("stopped", "It is rude.", "ada")
    with pytest.raises(ConflictError, match="It is rude"):
        stop(lab.database, "wording", kind="person", reason="Again.", stopped_by="bob", now=START + hours(3))
    with pytest.raises(InputError, match="cannot start again"):
        lab.start()
    assert LiveExperiments(lab.database).assign("wording", "user-1").variant is None


def test_a_stop_needs_an_experiment_and_a_reason(lab: Laboratory) -> None:
    with pytest.raises(NotFoundError, match="None was started yet"):
        stop(lab.database, "wording", kind="person", reason="x", stopped_by="ada", now=START)
    lab.start()
    with pytest.raises(InputError, match="reason"):
        stop(lab.database, "wording", kind="person", reason=" ", stopped_by="ada", now=START)


def test_another_process_sees_a_stop_within_a_second(lab: Laboratory) -> None:
    lab.start()
    now = [100.0]
    live = LiveExperiments(lab.database, monotonic=lambda: now[0])
    assert live.assign("wording", "user-1").variant is not None
    stop(lab.database, "wording", kind="person", reason="x", stopped_by="ada", now=START)
    now[0] += 1.0
    assert live.assign("wording", "user-1").variant is None
