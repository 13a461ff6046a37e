"""Fallbacks: go on with something less good when a step can't be done.

You learn:
- a node with a `fallback_value` doesn't fail the run: when it has finally failed, that is its output;
- it can be set at the definition or later, None counts, and a list or dict is copied for each run;
- a cache answers for a slow node: `cache="10m"`.

    python -m examples.sequence_fallback
"""

from tenuto.sequence import Sequence, node

asked: list[int] = []


@node("recommend", cache="10m")
def recommend(user_id: int) -> list[str]:
    asked.append(user_id)
    if user_id == 13:
        raise ConnectionError("the model is out of reach")
    return [f"a book for {user_id}"]


@node("page")
def page(items: list[str]) -> str:
    return "You may like: " + ", ".join(items)


recommend.fallback_value = ["our best sellers"]
workflow = Sequence(recommend >> page, name="shop-window")


def main() -> None:
    for user_id in [7, 7, 13]:
        print(workflow.execute(user_id))
    print(f"{len(asked)} questions asked")
    print(f"success rate {workflow.controller.reporting.get_execution_metrics().success_rate:.0%}")


if __name__ == "__main__":
    main()
