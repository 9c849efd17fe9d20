"""What batches teach of how large they may be."""

from app.ml.inference.batch_size import FIRST_BUDGET, HERE_SECONDS, LARGEST_BUDGET, TARGET_SECONDS, BatchSize

QUICK, SLOW = HERE_SECONDS / 4, HERE_SECONDS * 2


def test_quick_batches_may_be_computed_on_the_event_loop_up_to_twice_their_size() -> None:
    size = BatchSize(0.0)
    size.learn(100, QUICK)
    assert size.here == 200
    size.learn(200, 0.8 * HERE_SECONDS)
    assert size.here == 250, "twice of that would take too long"
    size.learn(300, 1.1 * HERE_SECONDS)
    assert size.here == 250


def test_a_busy_machine_makes_no_batch_dearer() -> None:
    size = BatchSize(0.0)
    size.learn(100, QUICK)
    size.learn(150, SLOW)
    assert (size.here, size.doubted) == (200, True)
    size.learn(150, SLOW, QUICK)
    assert (size.here, size.doubted) == (300, False)


def test_what_really_works_for_long_goes_to_the_thread() -> None:
    size = BatchSize(0.0)
    size.learn(100, QUICK)
    size.learn(150, SLOW)
    size.learn(150, SLOW, SLOW)
    assert (size.here, size.doubted) == (200, False), "no machine is as quick each time"
    for _ in range(20):
        size.learn(150, SLOW, 2 * SLOW)
    assert (size.here, size.doubted) == (37, False)


def test_what_the_thread_computes_while_others_hold_it_up_may_be_computed_on_the_event_loop_next() -> None:
    size = BatchSize(0.0)
    size.learn(100, QUICK)
    size.learn(1000, SLOW)
    assert (size.here, size.doubted) == (200, True)
    size.learn(1000, SLOW, QUICK)
    assert (size.here, size.doubted) == (2000, False)


def test_the_budget_follows_what_full_batches_take() -> None:
    size = BatchSize(0.0)
    size.learn(10, 2 * TARGET_SECONDS)
    assert size.budget == FIRST_BUDGET, "a batch that was far from full says little"
    size.learn(FIRST_BUDGET, 2 * TARGET_SECONDS)
    assert size.budget == FIRST_BUDGET // 2
    for _ in range(10):
        size.learn(size.budget, QUICK)
    assert size.budget == LARGEST_BUDGET
