// Package connector keeps target systems equal to a source system.
//
// A notification says that an entity may have changed. The connector marks the
// entity in its work store, and a loop takes marked entities, one run at a time
// each: it fetches the entity's current state from the source, maps it, and
// makes the target equal to the answer. A [Flow] says how, for one kind of
// entity; [New] and [Connector.Run] do the rest.
//
// # Promises
//
// Each names the test that would break it. Most are checked after random
// histories too (TestHistories), with changes, repeated and late notifications,
// outages, crashes at any step, and several instances that come, go and stand
// still; TestHistoriesCatchBugs shows that these notice a bug in each.
//
//   - Nothing is lost. A delivery is acked after its marks, or the message and
//     the reason why it cannot be used, are committed to the work store.
//     Whatever the moment of a crash, no marked entity is forgotten
//     (TestHistories, TestInstances). With a store that is not durable, a delivery
//     is acked after its entity was reconciled by a run that began after it
//     arrived, or was parked (TestWithAStoreInMemoryTheAckWaitsForTheReconcile); so
//     at most a prefetch's worth of entities can wait then.
//   - One at a time. Two reconciles of one entity in one flow never overlap
//     (TestOneAtATime). A run whose lease may have expired is cancelled, and its
//     outcome refused (TestALeaseThatMayExpireCancelsItsRun). A write that was on its
//     way already is made good by another run (TestALateWriteIsMadeGood).
//   - Coalesced, not dropped. Any number of notifications before a reconcile
//     starts cost one reconcile; any number during it cost one more
//     (TestMarksDuringARunCostOneMore). While notifications come in faster than
//     runs can follow, entities wait for others about them, for [Flow.Gather] at
//     most (TestATideIsTakenInFirst, TestATideDelaysNobodyForLong).
//   - Fresh. A reconcile that a notification caused asks the source for its
//     state past caches, in a fetch that begins after the notification came
//     (TestTargetFollowsSource), until one has succeeded
//     (TestBulkLeavesLiveWorkFresh); so does one for a date that somebody asked for
//     (TestADateIsNotBulkWork).
//   - Idempotent and convergent. What is repeated writes nothing, and once things
//     are quiet the target is what the mapping makes of the source (TestHistories).
//   - Bad input stays put. A message that cannot be used is stored with the
//     reason and acked, and kept for Config.KeepRejected (TestBadInputStaysPut). It
//     can be listed, replayed and discarded, see [Connector.Rejected]; a replay
//     that fails or crashes loses nothing (TestReplayLosesNothing). A panic in user
//     code is that entity's failure, or that message's
//     (TestAPanicIsTheEntitysFailure).
//   - An outage is nobody's error. While source, target or work store are
//     unavailable, work waits, one probe of each instance at a time goes through,
//     and no attempts are spent (TestEachSystemHasItsBreaker). An entity that fails by itself is
//     tried again with growing delays (see [Retry]), then parked until something
//     marks it again or an operator releases it (TestRelease).
//   - Removal needs proof. Only failure.Gone from the source, or Absent from the
//     mapping, removes an entity from the target
//     (TestOnlyTheSourceProvesThatAnEntityIsGone).
//   - Dates are kept. A date in the future, from a notification, from
//     [Desired.RecheckAt] or from the sink, is kept in the work store and acted on
//     then (TestAFutureDateOutlivesARestart, TestWhatIsDisabledIsDeletedInTime).
//   - Live beats bulk. A change that came by a notification waits for no bulk work
//     but what has begun, and for the share of what has waited for longest, one in
//     eight of the runs that begin or less: so bulk work is not starved either
//     (TestLiveBeatsBulk, TestBulkIsNotStarved).
//   - Fan-out is not forgotten. What a run marks in other flows is stored together
//     with its outcome, or neither is (TestFanOutIsStoredWithTheOutcome). If it is
//     much, it is stored before, in pieces (TestAFanOutToManyIsStoredInPieces).
//   - Nothing is without bounds. Neither a message nor a run that marks many
//     entities makes a transaction long (TestAMessageForManyIsStoredInPieces); one
//     that marks more than 100,000 is rejected or parked
//     (TestAMessageForTooManyIsRejected, TestFanOutThatCannotBe).
//   - Personal data stays out of sight. Logs, metrics and traces name an entity by
//     a keyed hash, or not at all (TestLogsHoldNoIdentifier, TestTraces).
//
// It does not promise order: what counts is the source's state at the time of
// the fetch, not the order of the notifications.
//
// # Several instances
//
// With a work store that processes share, any number of instances of a connector
// share the work. They can be started and stopped at any time. One that stands
// still for longer than its lease loses its entities to others, and the contexts
// of its runs have ended when it goes on.
//
// # Metrics and traces
//
// Config takes the providers of OpenTelemetry. All metrics have the attribute
// konnektor.connector, and those of flows konnektor.flow:
//
//	konnektor.notifications        messages taken in, by konnektor.topic and konnektor.outcome (marked, irrelevant, rejected)
//	konnektor.reconciles           runs by konnektor.outcome (see work.Result; lost) and konnektor.change (created, updated, removed, unchanged, none)
//	konnektor.reconcile.duration   seconds from the lease to the stored outcome
//	konnektor.stage.duration       seconds by konnektor.stage (fetch, map, write)
//	konnektor.wait                 seconds from when an entity was due to its lease
//	konnektor.lag                  seconds from a notification's own time, or from when the date that it is for came, until the target is right
//	konnektor.rows                 entities in the work store by konnektor.state
//	konnektor.rows.age             seconds for which the oldest entity has been due or parked, by konnektor.state
//	konnektor.runs                 runs under way by konnektor.stage
//	konnektor.runs.stuck           runs that do not end though their time is over
//	konnektor.breaker.open         1 while the flow waits for its source or target (konnektor.system)
//
// A run is a span "reconcile" and the flow's name, in the trace that the
// notification belongs to by its traceparent attribute, with a child for each
// stage. What a source or a sink calls gets the context of its stage.
package connector
