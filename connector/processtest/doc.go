// Package processtest tests connectors as operators run them: as processes that
// are killed, paused and stopped, on real servers that are lost and come back.
// It holds integration tests only.
//
// The processes are this package's test binary, which runs a connector instead
// of the tests when an environment variable tells it to. They share a work store
// in PostgreSQL and a queue in RabbitMQ. The source and the target are HTTP
// servers in the tests; the target keeps a log of all writes, with the lease by
// which each was made.
//
// A write is late if it arrives in the target after the end of its lease: its
// process stood still between the moment when it asked whether it may write and
// the arrival. No lease can close that gap. What the tests demand:
//   - No write that is in time overlaps with another, is refused because of
//     another, or puts an older state over a newer one.
//   - A late write with a condition never puts an older state over a newer one.
//   - A late write without one may, for a moment: the process that made it marks
//     the entity again, so that it ends up right. Removals have no condition.
package processtest
