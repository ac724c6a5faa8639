// Package republish is a sink around another that tells others what changed in
// the target, after it changed and only then: the target is a source for them.
//
// It is told how to publish by a function, for which notification.Publisher
// serves, as the example shows. In a [Journal] it keeps what it owes.
//
// What it promises:
//   - Every change that the sink makes is followed by a publication that begins
//     after it. So whoever fetches because of the publication sees the change.
//   - That holds whenever the process is killed, or an answer is lost: before a
//     write, the journal has the intent; it is cleared after the publication.
//     The next Apply or Remove of that entity publishes what is owed, even if it
//     finds nothing to do. A connector calls it, as the call that was cut off has
//     no outcome.
//   - What changes nothing is not published, and costs one read of the journal.
//     To know it before, each call asks the [sink.DryRun] of the sink first, and
//     a change is so planned twice.
//   - Publications can be duplicates: after a crash, after a lost answer of the
//     publisher or of the journal. Duplicates have the same [Publication.Time].
//   - A publication may happen without a change of ours only where it cannot be
//     told whether there was one: after a crash, a lost answer or a failed write,
//     or where another writer made the same change at the same time. A write that
//     is failure.Rejected owes nothing if it left everything as it was.
//   - What is owed is published once the target has been read again, so that it
//     cannot come before a write that was slow.
//   - Several changes of an entity that were not published yet are one
//     publication.
//   - If a publication fails, the call fails, as failure.Unavailable: the change
//     is made, the entity will be called for again, and then publishes.
//   - A brake holds back publications of an entity that are too many, as when two
//     systems answer each other's changes for ever. What is held is not lost: it
//     is owed, and Change.Next asks for a call at the time. The more often it
//     happens on end, the longer it holds. The log has one line for each hold,
//     without the entity's ID.
//   - Instances that share a journal share what is owed, and the brake.
//
// [Memory] loses what is owed when the process ends: it is for tests, and for
// programs that do a full provisioning at every start. [OpenSQL] is a journal in
// SQLite or PostgreSQL.
package republish
