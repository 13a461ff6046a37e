"""JavaScript, inside of a helper process. Each script gets a context of its own: nothing passes between scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import quickjs  # type: ignore[import-untyped]

from tenuto.cage.limits import CageLimits
from tenuto.cage.wire import Answer, Request

# Values leave as JSON text, because what QuickJS hands over directly is cut at the first NUL.
# The script runs as a global, sloppy one through indirect eval, whose value is the script's completion value.
# A check has to parse without running: the statement in front throws after all is parsed, and before anything happens.
PRELUDE = """
(() => {
  const { stringify, parse, rawJSON } = JSON, globalEval = eval, PromiseClass = Promise;
  const hide = (target, name, value) =>
    Object.defineProperty(target, name, { value, writable: true, configurable: true, enumerable: false });
  hide(Array.prototype, "get", function get(index) { return this[index]; });
  hide(Array.prototype, "size", function size() { return this.length; });
  hide(BigInt.prototype, "toJSON", function toJSON() { return rawJSON(this.toString()); });
  const quiet = () => undefined;
  hide(globalThis, "console", { log: quiet, info: quiet, warn: quiet, error: quiet, debug: quiet, trace: quiet });

  const describe = (thrown) => {
    if (!(thrown instanceof Error))
      return "thrown: " + (typeof thrown === "object" ? stringify(thrown) : String(thrown));
    const line = /<input>:(\\d+):/.exec(String(thrown.stack).split("tenutoRun")[0]);
    return `${thrown.name}: ${thrown.message}` + (line ? ` (line ${line[1]})` : "");
  };
  const failed = (message) => "!" + stringify(message.slice(0, 4000).toWellFormed());

  return function tenutoRun(script, input, body) {
    if (input === null) {
      const parsed = {};
      try {
        globalThis.parsed = parsed;
        globalEval("throw globalThis.parsed; " + (body ? `(function () {${script}\\n})` : script));
      } catch (thrown) {
        if (thrown !== parsed) return failed(describe(thrown));
      }
      return "";
    }
    globalThis.$ = parse(input);
    let value;
    try {
      value = body ? globalEval(`(function () {${script}\\n})`)() : globalEval(script);
    } catch (thrown) {
      return failed(describe(thrown));
    }
    if (typeof value === "function") return failed("the script's value is a function; call it");
    if (typeof value === "symbol") return failed("the script's value is a symbol; JSON has none");
    if (value instanceof PromiseClass) return failed("the script's value is a promise; scripts can't wait");
    let text;
    try {
      text = stringify(value);
    } catch (thrown) {
      return failed("the script's value can't be written as JSON: " + describe(thrown));
    }
    return text === undefined ? "null" : text;
  };
})()
"""


# JSON.stringify escapes a surrogate only if its other half is missing.
_HALF_A_PAIR = re.compile(r"(?<!\\)(?:\\\\)*\\ud[89a-f]")


class JavaScript:
    def __init__(self, limits: CageLimits) -> None:
        self._limits = limits
        self._ready: tuple[quickjs.Context, Callable[..., str]] | None = None

    def prepare(self) -> None:
        """Make the context of the next script, while nobody waits for it."""
        if self._ready is None:
            context = quickjs.Context()
            run = context.eval(PRELUDE)
            context.set_memory_limit(self._limits.memory)
            context.set_max_stack_size(self._limits.stack)
            self._ready = context, run

    def run(self, request: Request) -> Answer:
        """Run the script, or check it. Raises nothing but MemoryError."""
        self.prepare()
        assert self._ready is not None
        (context, run), self._ready = self._ready, None
        context.set_time_limit(self._limits.seconds)
        try:
            text = run(request.script, None if request.input is None else request.input.decode(), request.body)
        except quickjs.JSException as error:  # what JavaScript can't catch, or threw while catching
            return _failure(str(error).partition("\n")[0])
        if text.startswith("!"):
            return _failure(json.loads(text[1:]))
        if "\\ud" in text and _HALF_A_PAIR.search(text):
            return Answer(
                "error", b"the script's value holds half of a surrogate pair: a text was cut inside a character"
            )
        return Answer("done", text.encode())


def _failure(message: str) -> Answer:
    if "InternalError: interrupted" in message:
        return Answer("timeout")
    if "InternalError: out of memory" in message or "Maximum call stack size exceeded" in message:
        return Answer("limit", message.encode())
    return Answer("error", message.encode())
