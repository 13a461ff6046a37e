"""FORK_JOIN, JOIN with and without a script, EXCLUSIVE_JOIN."""

from __future__ import annotations

from tests.support.conductor import Conductor, fork, inline, loop, node, simple, switch, task_def, workflow


async def test_the_order_of_creation(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", *fork("f", [simple("a1"), simple("a2")], [simple("b")]), simple("z")))
    assert await conductor.references(id) == ["f", "a1", "b", "f_join"]
    view = await conductor.tasks(id)
    assert [(task["taskType"], task["taskDefName"]) for task in view] == [
        ("FORK", "FORK"),
        ("a1", "a1"),
        ("b", "b"),
        ("JOIN", "JOIN"),
    ]
    assert [task["status"] for task in view] == ["COMPLETED", "SCHEDULED", "SCHEDULED", "IN_PROGRESS"]


async def test_the_join_completes_with_its_last_branch(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", *fork("f", [simple("a1"), simple("a2")], [simple("b")]), simple("z")))
    await conductor.work("a1", {"a": 1})
    await conductor.work("b", {"b": 1})
    assert (await conductor.task(id, "f_join"))["status"] == "IN_PROGRESS"
    await conductor.work("a2", {"a": 2})
    join = await conductor.task(id, "f_join")
    assert (join["status"], join["outputData"]) == ("COMPLETED", {"a2": {"a": 2}, "b": {"b": 1}})
    assert join["inputData"] == {"joinOn": ["a2", "b"]}
    await conductor.work("z")
    assert await conductor.status(id) == "COMPLETED"


async def test_empty_outputs_are_not_joined(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", *fork("f", [simple("a")], [simple("b")])))
    await conductor.work("a")
    await conductor.work("b", {"n": 1})
    view = await conductor.workflow(id)
    assert (view["status"], view["output"]) == ("COMPLETED", {"b": {"n": 1}})


async def test_a_join_on_some_goes_on_before_the_others(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", *fork("f", [simple("a")], [simple("b")], join_on=["a"]), simple("z")))
    await conductor.work("a")
    await conductor.work("z")
    assert await conductor.status(id) == "RUNNING"
    await conductor.work("b")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_join_on_nothing_completes_at_once(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", *fork("f", [simple("a")], join_on=[]), simple("z")))
    assert (await conductor.task(id, "f_join"))["status"] == "COMPLETED"
    await conductor.work("z")
    await conductor.work("a")
    assert await conductor.status(id) == "COMPLETED"


async def test_an_empty_branch_is_none(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", *fork("f", [simple("a")], [], join_on=["a"])))
    await conductor.work("a")
    assert await conductor.status(id) == "COMPLETED"


async def test_an_optional_branch_that_fails_marks_the_join(conductor: Conductor) -> None:
    await conductor.register(task_def("maybe"))
    id = await conductor.run(workflow("wf", *fork("f", [simple("maybe", optional=True)], [simple("b")]), simple("z")))
    await conductor.fail(await conductor.poll("maybe"))
    await conductor.work("b")
    assert (await conductor.task(id, "f_join"))["status"] == "COMPLETED_WITH_ERRORS"
    await conductor.work("z")
    assert await conductor.status(id) == "COMPLETED"


async def test_forks_in_forks(conductor: Conductor) -> None:
    inner = fork("inner", [simple("x")], [simple("y")])
    id = await conductor.run(workflow("wf", *fork("outer", inner, [simple("b")]), simple("z")))
    for name in ("x", "y", "b"):
        await conductor.work(name, {"from": name})
    joined = await conductor.task(id, "outer_join")
    assert joined["outputData"] == {"inner_join": {"x": {"from": "x"}, "y": {"from": "y"}}, "b": {"from": "b"}}
    await conductor.work("z")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_switch_at_the_end_of_a_branch(conductor: Conductor) -> None:
    branch = [switch("s", "${workflow.input.v}", {"a": [simple("in_a")]})]
    id = await conductor.run(
        workflow("wf", *fork("f", branch, [simple("b")], join_on=["s", "b"]), simple("z")), input={"v": "a"}
    )
    await conductor.work("b")
    await conductor.work("in_a")
    await conductor.work("z")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_join_on_a_task_in_a_branch_of_a_switch_that_was_not_taken(conductor: Conductor) -> None:
    branch = [switch("s", "none", {"a": [simple("in_a")]})]
    id = await conductor.run(workflow("wf", *fork("f", branch, [simple("b")], join_on=["in_a", "b"])))
    await conductor.work("b")
    assert await conductor.status(id) == "COMPLETED", "nothing is left to run, so it can't stay RUNNING for ever"


async def test_a_hundred_branches(conductor: Conductor) -> None:
    branches = [[inline(f"b{n}", f"{n}")] for n in range(100)]
    id = await conductor.run(workflow("wf", *fork("f", *branches)))
    view = await conductor.until(id)
    assert len(view["output"]) == 100
    assert view["output"]["b99"] == {"result": 99}


def _script_join(script: str, names: list[str]) -> object:
    return node("JOIN", "joined", joinOn=names, evaluatorType="js", expression=script)


async def test_a_join_script_may_go_on_early(conductor: Conductor) -> None:
    script = """
        let done = $.joinOn.filter(ref => $[ref] && $[ref].status == 'COMPLETED');
        done.length >= 2 ? ({status: 'COMPLETED', outputData: {done: done.length}}) : ({status: 'IN_PROGRESS'})
    """
    forked = node("FORK_JOIN", "f", forkTasks=[[simple("a")], [simple("b")], [simple("c")]])
    id = await conductor.run(workflow("wf", forked, _script_join(script, ["a", "b", "c"]), simple("z")))
    await conductor.work("a")
    await conductor.settled()
    assert (await conductor.task(id, "joined"))["status"] == "IN_PROGRESS"
    await conductor.work("c")
    join = await conductor.until_task(id, "joined", "COMPLETED")
    assert join["outputData"] == {"done": 2}
    await conductor.work("z")
    await conductor.work("b")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_join_script_may_say_true(conductor: Conductor) -> None:
    forked = node("FORK_JOIN", "f", forkTasks=[[simple("a")], [simple("b")]])
    script = "(function(){ return $.a.status == 'COMPLETED'; })();"
    id = await conductor.run(workflow("wf", forked, _script_join(script, ["a", "b"])))
    await conductor.work("a", {"n": 1})
    join = await conductor.until_task(id, "joined", "COMPLETED")
    assert join["outputData"] == {"a": {"n": 1}}


async def test_a_join_script_that_waits_stores_what_it_says(conductor: Conductor) -> None:
    forked = node("FORK_JOIN", "f", forkTasks=[[simple("a")], [simple("b")]])
    script = "({status: 'IN_PROGRESS', reasonForIncompletion: 'more', outputData: {seen: $.joinOn.length}})"
    id = await conductor.run(workflow("wf", forked, _script_join(script, ["a", "b"])))
    await conductor.work("a")
    for _ in range(200):
        join = await conductor.task(id, "joined")
        if join["outputData"]:
            break
    assert (join["status"], join["outputData"]) == ("IN_PROGRESS", {"seen": 2})
    assert join["reasonForIncompletion"] == "more"


async def test_a_join_script_decides_when_all_have_ended_too(conductor: Conductor) -> None:
    forked = node("FORK_JOIN", "f", forkTasks=[[simple("a")], [simple("b")]])
    script = """
        let failed = $.joinOn.filter(ref => $[ref].output && $[ref].output.bad);
        if ($.a.status == 'COMPLETED' && $.b.status == 'COMPLETED') {
            ({status: failed.length ? 'FAILED' : 'COMPLETED', reasonForIncompletion: 'one was bad'});
        } else { false; }
    """
    id = await conductor.run(workflow("wf", forked, _script_join(script, ["a", "b"])))
    await conductor.work("a", {"bad": True})
    await conductor.work("b")
    view = await conductor.until(id, "FAILED")
    assert "one was bad" in view["reasonForIncompletion"]


async def test_a_join_script_that_fails_fails_the_join(conductor: Conductor) -> None:
    forked = node("FORK_JOIN", "f", forkTasks=[[simple("a")], [simple("b")]])
    id = await conductor.run(workflow("wf", forked, _script_join("nonsense.x", ["a", "b"])))
    await conductor.work("a")
    view = await conductor.until(id, "FAILED")
    assert "joined" in view["reasonForIncompletion"]


async def test_an_exclusive_join_takes_the_output_of_the_branch_that_ran(conductor: Conductor) -> None:
    choice = switch("s", "${workflow.input.v}", {"a": [simple("in_a")], "b": [simple("in_b")]})
    joined = node("EXCLUSIVE_JOIN", "x", joinOn=["in_a", "in_b"])
    id = await conductor.run(workflow("wf", choice, joined, simple("z")), input={"v": "b"})
    await conductor.work("in_b", {"n": 2})
    assert (await conductor.task(id, "x"))["outputData"] == {"n": 2}
    await conductor.work("z")
    assert await conductor.status(id) == "COMPLETED"


async def test_an_exclusive_join_falls_back_to_its_default(conductor: Conductor) -> None:
    choice = switch("s", "none", {"a": [simple("in_a")]})
    joined = node("EXCLUSIVE_JOIN", "x", joinOn=["in_a"], defaultExclusiveJoinTask=["before"])
    id = await conductor.run(workflow("wf", simple("before"), choice, joined))
    await conductor.work("before", {"n": 1})
    view = await conductor.workflow(id)
    assert (view["status"], view["output"]) == ("COMPLETED", {"n": 1})


async def test_a_fork_in_a_loop_joins_every_iteration(conductor: Conductor) -> None:
    body = fork("f", [simple("a")], [simple("b")])
    id = await conductor.run(workflow("wf", loop("l", "$.l.iteration < 2", *body)))
    for n in (1, 2):
        await conductor.work("a", {"n": n})
        await conductor.work("b")
        await conductor.until_task(id, f"f_join__{n}", "COMPLETED")
    view = await conductor.until(id)
    references = ["l", "f__1", "a__1", "b__1", "f_join__1", "f__2", "a__2", "b__2", "f_join__2"]
    assert [task["referenceTaskName"] for task in view["tasks"]] == references
    assert view["tasks"][0]["outputData"]["2"]["f_join"] == {"a__2": {"n": 2}}
