// Package sink writes to target systems: [Sink] is what a connector's flow
// needs, [Ensure] makes one from a [Target] with get, create, update and
// delete. The sub-packages are targets. Package sinktest is the suite for both.
//
// What [Ensure] promises:
//   - It reads before it writes, compares, and writes only what differs. What
//     is equal is not written, and reported as [Unchanged].
//   - Only what the mapping names is compared and written. What else the target
//     holds is left alone. An [Optional] can name nothing, no value, or a value,
//     also an empty one.
//   - A create that finds the entity there already becomes an update. An update
//     that finds nothing becomes a create. A removal that finds nothing is done.
//   - A conflict with another writer leads to a new read and a new decision, a
//     few times; then the error is returned.
//   - The error of a write whose answer was lost is returned as it is. Whether
//     it was done shows when it is tried again, since that reads first: nothing
//     is made twice.
//   - If several entities match, none is written, and the error is that entity's.
//   - A removal does what EnsureConfig.Removal says: it deletes, disables,
//     disables and deletes after a time, or keeps.
//   - Its [DryRun] goes the same way up to the write, and writes nothing.
//   - No read and no write starts after ctx ended.
//   - Values never appear in errors, and a [Change] shows the names of the
//     changed fields only, however it is printed, logged or encoded.
//
// How [Ensure] compares: by EnsureConfig.Diff if it is set, else by the
// target if it is an [Observer], else by [Diff].
package sink
