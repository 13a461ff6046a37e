"""A circuit breaker: leave a service alone that fails again and again.

You learn:
- `circuit=Circuit(failures=3, reset="5m")` opens after three failures in a row: the node is not called any more, and
  raises CircuitOpenError at once, which no strategy retries;
- after the reset one call is let through to try;
- together with a `fallback_value` the workflow goes on without the service.

    python -m examples.sequence_circuit_breaker
"""

from tenuto.sequence import Circuit, Sequence, node

weather = Circuit(failures=3, reset="5m")
calls: list[str] = []


@node("forecast", circuit=weather, fallback_value="no forecast")
def forecast(city: str) -> str:
    calls.append(city)
    if city == "Atlantis":
        raise ConnectionError("no station answers")
    return f"sun over {city}"


@node("report")
def report(text: str) -> str:
    return f"Today: {text}."


workflow = Sequence(forecast >> report, name="weather")


def main() -> None:
    for city in ["Lisbon", "Atlantis", "Atlantis", "Atlantis", "Lisbon"]:
        print(f"{city}: {workflow.execute(city)} ({len(calls)} calls)")
    weather.close()
    print(f"Lisbon: {workflow.execute('Lisbon')} ({len(calls)} calls)")


if __name__ == "__main__":
    main()
