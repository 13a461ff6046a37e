import pytest

from examples import payment
from examples.payment import Bank, Payment, charge
from tenuto.client import Client
from tenuto.worker import Worker


@pytest.fixture(autouse=True)
def bank(monkeypatch: pytest.MonkeyPatch) -> Bank:
    bank = Bank()
    monkeypatch.setattr(payment, "bank", bank)
    return bank


async def test_two_requests_make_one_charge(url: str, bank: Bank) -> None:
    async with await Client.connect(url) as client, Worker(client, workflows=[Payment], activities=[charge]):
        assert await client.execute_workflow(Payment.run, 4200, id="payment") == "receipt-1"
    assert bank.requests == 2
    assert list(bank.charges.values()) == [4200]


async def test_two_payments_are_two_charges(url: str, bank: Bank) -> None:
    async with await Client.connect(url) as client, Worker(client, workflows=[Payment], activities=[charge]):
        await client.execute_workflow(Payment.run, 1, id="payment-1")
        await client.execute_workflow(Payment.run, 2, id="payment-2")
    assert list(bank.charges.values()) == [1, 2]


async def test_the_lesson_runs(capsys: pytest.CaptureFixture[str]) -> None:
    await payment.main()
    assert "2 requests, 1 charge" in capsys.readouterr().out
