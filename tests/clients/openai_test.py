"""The official `openai` client for Python through the edge and, for comparison, directly against the simulator."""

import unittest

import openai
from pydantic import BaseModel

import edge


class Answer(BaseModel):
    answer: str


def client(base, key, retries=0):
    return openai.OpenAI(base_url=base, api_key=key, max_retries=retries)


def timeless(answer):
    return answer.model_dump(exclude={"id", "created"})


def caught(create):
    try:
        create()
    except openai.APIError as error:
        return error
    raise AssertionError("no error")


class OpenAi(unittest.TestCase):
    def setUp(self):
        self.through = client(edge.EDGE, edge.TOKEN)
        self.direct = client(edge.DIRECT, edge.SIMULATOR_KEY)
        self.addCleanup(self.through.close)
        self.addCleanup(self.direct.close)

    def both(self, ask):
        return ask(self.through), ask(self.direct)

    def test_a_completion_is_the_same_as_direct(self):
        through, direct = self.both(lambda to: to.chat.completions.create(**edge.request({"tokens": 12})))
        self.assertEqual(timeless(through), timeless(direct))
        self.assertEqual(through.usage.completion_tokens, 12)

    def test_the_bytes_of_a_completion_are_those_of_the_provider(self):
        def shape(to):
            raw = to.chat.completions.with_raw_response.create(**edge.request({"tokens": 3}))
            created = raw.parse()
            return raw.text.replace(created.id, "").replace(str(created.created), "")

        through, direct = self.both(shape)
        self.assertEqual(through, direct)

    def test_a_stream_is_the_same_as_direct(self):
        for options in [{}, {"stream_options": {"include_usage": True}}]:
            def chunks(to, options=options):
                return [timeless(chunk) for chunk in to.chat.completions.create(
                    **edge.request({"tokens": 12}, stream=True, **options))]

            through, direct = self.both(chunks)
            self.assertEqual(through, direct)
            self.assertEqual(bool(options), through[-1]["usage"] is not None)

    def test_parallel_tool_calls_accumulate(self):
        tools = [edge.tool("weather"), edge.tool("time")]

        def calls(to):
            with to.chat.completions.stream(**edge.request({"tool_calls": 2}, tools=tools)) as stream:
                message = stream.get_final_completion().choices[0].message
            return [(call.type, call.function.name, call.function.arguments) for call in message.tool_calls]

        through, direct = self.both(calls)
        self.assertEqual(through, direct)
        self.assertEqual([name for _, name, _ in through], ["weather", "time"])

    def test_structured_output_is_parsed(self):
        def parsed(to):
            completion = to.chat.completions.parse(**edge.request(), response_format=Answer)
            return completion.choices[0].message.parsed

        through, direct = self.both(parsed)
        self.assertIsInstance(through, Answer)
        self.assertEqual(through, direct)

    def test_leaving_a_stream_cancels_the_provider(self):
        request = edge.request({"tokens": 400, "interval_ms": 20}, stream=True)
        with self.through.chat.completions.create(**request) as stream:
            for number, _ in enumerate(stream):
                if number == 5:
                    break
        edge.assert_cancelled(request["metadata"]["marker"])

    def test_errors_are_of_the_same_class_with_the_same_words(self):
        for status, code, kind in [
            (400, "context_length_exceeded", openai.BadRequestError),
            (400, "content_filter", openai.BadRequestError),
            (404, "model_not_found", openai.NotFoundError),
            (409, "conflict", openai.ConflictError),
            (422, "unprocessable", openai.UnprocessableEntityError),
            (429, "rate_limit_exceeded", openai.RateLimitError),
        ]:
            with self.subTest(status=status, code=code):
                fault = {"status": status, "code": code}
                through, direct = self.both(
                    lambda to, fault=fault: caught(lambda: to.chat.completions.create(**edge.request(fault))))
                self.assertIs(type(through), kind)
                self.assertIs(type(direct), kind)
                seen = [(error.code, error.type, error.param) for error in (through, direct)]
                self.assertEqual(seen[0], seen[1])
                self.assertTrue(through.request_id)

    def test_a_failing_provider_is_an_internal_server_error(self):
        for status in [500, 502, 503]:
            error = caught(lambda status=status: self.through.chat.completions.create(**edge.request({"status": status})))
            self.assertIsInstance(error, openai.InternalServerError)

    def test_a_wrong_credential_is_an_authentication_error(self):
        with client(edge.EDGE, "nonsense") as stranger:
            self.assertIsInstance(caught(lambda: stranger.chat.completions.create(**edge.request())),
                                  openai.AuthenticationError)

    def test_a_stream_that_breaks_raises_and_is_never_a_short_answer(self):
        for fault in [{"cut_after": 5}, {"eof_after": 5}, {"malformed_after": 5}, {"error_after": 5}]:
            with self.subTest(fault=fault):
                stream = self.through.chat.completions.create(**edge.request({"tokens": 20} | fault, stream=True))
                with self.assertRaises(openai.APIError):
                    for _ in stream:
                        pass

    def test_its_own_retry_gets_through_a_passing_failure(self):
        with client(edge.EDGE, edge.TOKEN, retries=1) as retrying:
            request = edge.request([{"status": 429, "retry_after_ms": 10}, {}])
            self.assertEqual(retrying.chat.completions.create(**request).object, "chat.completion")

    def test_models_are_listed(self):
        self.assertIn("default", [model.id for model in self.through.models.list()])


class AsyncOpenAi(unittest.IsolatedAsyncioTestCase):
    async def test_a_stream_can_be_read_and_left(self):
        async with openai.AsyncOpenAI(base_url=edge.EDGE, api_key=edge.TOKEN, max_retries=0) as through:
            stream = await through.chat.completions.create(**edge.request({"text": "one two three"}, stream=True))
            words = [chunk.choices[0].delta.content or "" async for chunk in stream]
            self.assertEqual("".join(words), "one two three")
            request = edge.request({"tokens": 400, "interval_ms": 20}, stream=True)
            async with await through.chat.completions.create(**request) as stream:
                await anext(aiter(stream))
        edge.assert_cancelled(request["metadata"]["marker"])


if __name__ == "__main__":
    unittest.main()
