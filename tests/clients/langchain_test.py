"""`langchain-openai` through the edge and, for comparison, directly against the simulator."""

import unittest

import openai
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

import edge


class Answer(BaseModel):
    """An answer."""

    answer: str


@tool
def weather() -> str:
    """The weather."""
    return "fine"


@tool
def time() -> str:
    """The time."""
    return "noon"


def model(base, key, behaviour=None, **more):
    return ChatOpenAI(base_url=base, api_key=key, model="sim-1", max_retries=0, metadata=None,
                      extra_body={"metadata": edge.metadata(behaviour)}, **more)


def timeless(message):
    kept = {name: value for name, value in message.response_metadata.items() if name != "id"}
    return message.content, message.tool_calls and [call["name"] for call in message.tool_calls], kept


class LangChain(unittest.TestCase):
    def both(self, ask, behaviour=None, **more):
        return (ask(model(edge.EDGE, edge.TOKEN, behaviour, **more)),
                ask(model(edge.DIRECT, edge.SIMULATOR_KEY, behaviour, **more)))

    def test_an_answer_is_the_same_as_direct(self):
        through, direct = self.both(lambda to: timeless(to.invoke(edge.PROMPT)), {"tokens": 12})
        self.assertEqual(through, direct)

    def test_a_stream_is_the_same_as_direct(self):
        for more in [{}, {"stream_usage": True}]:
            def pieces(to):
                return [(piece.content, piece.usage_metadata) for piece in to.stream(edge.PROMPT)]

            through, direct = self.both(pieces, {"tokens": 12}, **more)
            self.assertEqual(through, direct)
            self.assertEqual(bool(more), any(usage for _, usage in through))

    def test_parallel_tool_calls(self):
        for ask in [lambda to: to.invoke(edge.PROMPT), lambda to: sum_of(to.stream(edge.PROMPT))]:
            through, direct = self.both(lambda to, ask=ask: calls(ask(to.bind_tools([weather, time]))), {"tool_calls": 2})
            self.assertEqual(through, direct)
            self.assertEqual([name for name, _ in through], ["weather", "time"])

    def test_structured_output(self):
        through, direct = self.both(lambda to: to.with_structured_output(Answer).invoke(edge.PROMPT))
        self.assertIsInstance(through, Answer)
        self.assertEqual(through, direct)

    def test_leaving_a_stream_cancels_the_provider(self):
        through = model(edge.EDGE, edge.TOKEN, {"tokens": 400, "interval_ms": 20})
        stream = through.stream(edge.PROMPT)
        for _ in range(6):
            next(stream)
        stream.close()
        edge.assert_cancelled(through.extra_body["metadata"]["marker"])

    def test_errors_are_of_the_same_class(self):
        def caught(to):
            try:
                to.invoke(edge.PROMPT)
            except openai.APIStatusError as error:
                return type(error), error.status_code, error.code
            raise AssertionError("no error")

        for status, code in [(400, "content_filter"), (404, "model_not_found"), (429, "rate_limit_exceeded")]:
            through, direct = self.both(caught, {"status": status, "code": code})
            self.assertEqual(through, direct)

    def test_a_stream_that_breaks_raises(self):
        for fault in [{"cut_after": 5}, {"eof_after": 5}, {"error_after": 5}]:
            with self.subTest(fault=fault), self.assertRaises(openai.APIError):
                list(model(edge.EDGE, edge.TOKEN, {"tokens": 20} | fault).stream(edge.PROMPT))


def sum_of(pieces):
    total = None
    for piece in pieces:
        total = piece if total is None else total + piece
    return total


def calls(message):
    return [(call["name"], call["args"]) for call in message.tool_calls]


if __name__ == "__main__":
    unittest.main()
