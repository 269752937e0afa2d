"""Who goes to Armada first: the best of all queues, whatever their order."""

from types import SimpleNamespace

from slurm_compat.controller.staging import Staging


def job(job_id: int, priority: int) -> SimpleNamespace:
    return SimpleNamespace(job_id=job_id, priority=priority, array_job_id=0)


def taken(staging: Staging) -> list[int]:
    order: list[int] = []

    def pick(job_id: int, queue: str) -> bool | None:
        order.append(job_id)
        staging.entered(job_id, queue)
        return None

    staging.take(pick)
    return order


def test_the_best_of_all_queues_goes_first_and_equals_in_the_order_they_came():
    staging = Staging()
    for one, queue in ((job(1, 10), "a"), (job(2, 30), "b"), (job(3, 20), "a"), (job(4, 10), "b"), (job(5, 30), "a")):
        staging.offer(one, queue)
    assert taken(staging) == [2, 5, 3, 1, 4]


def test_a_full_queue_waits_and_the_other_goes_on():
    staging = Staging(window=1)
    for one, queue in ((job(1, 50), "a"), (job(2, 40), "a"), (job(3, 30), "b"), (job(4, 20), "b")):
        staging.offer(one, queue)
    assert taken(staging) == [1, 3]
    staging.left(1, "a")
    assert taken(staging) == [2]


def test_one_that_is_retracted_for_anothers_sake_is_passed_over():
    staging = Staging()
    for one, queue in ((job(1, 50), "a"), (job(2, 40), "b"), (job(3, 30), "b")):
        staging.offer(one, queue)
    order: list[int] = []

    def pick(job_id: int, queue: str) -> bool | None:
        order.append(job_id)
        if job_id == 1:
            staging.retract(2)
        return None

    staging.take(pick)
    assert order == [1, 3]
