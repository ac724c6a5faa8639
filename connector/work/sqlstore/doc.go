// Package sqlstore keeps a [work.Store] in a database, through database/sql. It
// brings no driver: import one, and give New a *sql.DB. SQLite is supported,
// from 3.51.3 on; modernc.org/sqlite is the driver that is tested. Older
// versions can corrupt their file and are refused.
//
// What it promises, besides the contract of [work.Store]:
//   - What a call has stored survives a killed process and a loss of power: the
//     write-ahead log is synced before the call returns.
//   - One process has the file. New fails within [Config.LockWait] if another
//     one uses it, or another pool or Store of the same process; tools that open
//     the file while it is in use are turned away as well.
//   - New ends the leases of the process before and makes their rows due at once.
//   - A call is all or nothing also when its context ends, the disk is full or
//     the connection is lost. Afterwards the store works on, on a new connection
//     if need be, with the same settings.
//   - Lease and NextDue read what they give and no other rows, however many wait
//     or are done.
//   - New makes the tables and brings older ones up to date, in one transaction.
//     It refuses tables of a newer version than it knows.
//   - No error holds a key or a payload.
//
// A call with many marks or outcomes costs little more than a call with one: the
// sync is shared. Collect them for some milliseconds.
package sqlstore
