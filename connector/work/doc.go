// Package work is a connector's memory of what is to be done: the contract of
// the work store, and the store in memory. Package work/sqlstore keeps it in a
// database; package work/storetest is the suite that every store passes.
//
// A row stands for one entity of one flow. It is dirty or not, due at a time,
// leased by a run, parked after too many failures. In plain words:
//   - Nothing marked is forgotten. A mark stays until a run that began after it
//     has finished, whatever happens to the process in between.
//   - Any number of marks before a run starts cost one run; any number during it
//     cost one more.
//   - One run at a time holds a row. A run that has lost its lease cannot store
//     its outcome.
//   - A mark during a run is never overwritten by what the run says about the
//     next time: the earliest wins.
//   - What a run marks besides is stored with its outcome, or neither is.
//   - Dates in the future are kept one by one. A run today does not make the
//     store forget that the entity was marked for next week.
//   - Work that has waited longest can be asked for first, so that live work does
//     not starve bulk work.
//   - What is deleted is what was asked for: entities that are gone and rest, rows
//     that were given up long ago, or all of one entity, but nothing that a run
//     holds.
//   - A rejected message is kept as it came until it is deleted, and no ID is
//     given twice.
package work
