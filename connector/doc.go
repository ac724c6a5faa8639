// Package connector keeps target systems equal to a source system.
//
// A notification says that an entity may have changed. The connector marks the
// entity in its work store, and a loop takes marked entities, one run at a time
// each: it fetches the entity's current state from the source, maps it, and
// makes the target equal to the answer. A [Flow] says how, for one kind of
// entity; [New] and [Connector.Run] do the rest.
//
// What it promises:
//   - Nothing is lost. A delivery is acked after its marks, or the message and
//     the reason why it cannot be used, are committed to the work store.
//     Whatever the moment of a crash, no marked entity is forgotten. With a
//     store that is not durable, a delivery is acked after its entity was
//     reconciled by a run that began after it arrived, or was parked; so at most
//     a prefetch's worth of entities can wait then.
//   - One at a time. Two reconciles of one entity in one flow never overlap. A
//     run whose lease may have expired is cancelled, and its outcome refused.
//   - Coalesced, not dropped. Any number of notifications before a reconcile
//     starts cost one reconcile; any number during it cost one more.
//   - Fresh. A reconcile that a notification caused asks the source for its
//     state past caches, in a fetch that begins after the notification came.
//   - Bad input stays put. A message that cannot be used is stored with the
//     reason and acked, and kept for Config.KeepRejected. It can be listed,
//     replayed and discarded, see [Connector.Rejected]; a replay that fails or
//     crashes loses nothing. A panic in user code is that entity's failure, or
//     that message's.
//   - An outage is nobody's error. While source, target or work store are
//     unavailable, work waits, one probe at a time goes through, and no attempts
//     are spent. An entity that fails by itself is tried again with growing
//     delays (see [Retry]), then parked until something marks it again.
//   - Removal needs proof. Only failure.Gone from the source, or Absent from the
//     mapping, removes an entity from the target.
//   - A date in the future, from a notification or from [Desired.RecheckAt], is
//     kept in the work store and acted on then.
//   - Personal data stays out of sight. Logs name an entity by a keyed hash.
//
// It does not promise order: what counts is the source's state at the time of
// the fetch, not the order of the notifications.
package connector
