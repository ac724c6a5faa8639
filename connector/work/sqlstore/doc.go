// Package sqlstore keeps a [work.Store] in a database, through database/sql. It
// brings no driver: import one, and give NewSQLite a *sql.DB of SQLite, for one
// process, or NewPostgres one of PostgreSQL, for any number.
//
// # SQLite
//
// SQLite is supported from 3.51.3 on; modernc.org/sqlite is the driver that is
// tested. Older versions can corrupt their file and are refused. What a [SQLite]
// promises, besides the contract of [work.Store]:
//   - What a call has stored survives a killed process and a loss of power: the
//     write-ahead log is synced before the call returns.
//   - One process has the file. NewSQLite fails within [SQLiteConfig.LockWait] if another
//     one uses it, or another pool or store of the same process; tools that open
//     the file while it is in use are turned away as well.
//   - NewSQLite ends the leases of the process before and makes their rows due at once.
//   - A call is all or nothing also when its context ends, the disk is full or
//     the connection is lost. Afterwards the store works on, on a new connection
//     if need be, with the same settings.
//   - Rows with which something happens live in memory; what becomes of them is
//     appended to a journal in the file, and written to the rows when they rest, a
//     thousand at a time. At most 40,000 are in memory, 10,000 of them at rest, with
//     what a kilobyte each takes. Leases are in memory alone: with the process, its
//     runs are dead. So are marks for now of a row that is in the file as due, with
//     the same priority or a higher one: they cost no commit. If the process dies,
//     the row is run, and its Dirty number is smaller than what Mark returned.
//   - Lease and NextDue read a hundred rows of each priority and what they give,
//     however many wait or are done. PruneIdle and PruneParked read what they
//     delete.
//   - List reads a page's rows among those of the state, or if these are more than
//     10,000 among all. Stats reads indexes from end to end, 0.15 s for 200,000
//     rows; other calls wait meanwhile, except that rows in memory can be leased, as
//     they can while others are stored. All else that reads or deletes rows, but
//     for what the reconcile loop calls, writes back what is in memory first.
//   - What Forget and the pruning delete is overwritten. Copies that SQLite left
//     behind when it moved rows are gone, after a Forget, once PruneIdle was called
//     or the store is closed: the file is then written anew, some seconds for
//     300,000 rows, while other calls wait.
//   - NewSQLite makes the tables and brings older ones up to date, in one transaction.
//     It refuses tables of a newer version than it knows.
//   - No error holds a key or a payload.
//
// A call with many marks or outcomes costs little more than a call with one: the
// sync is shared. Collect them for some milliseconds.
//
// # PostgreSQL
//
// PostgreSQL is supported from 13 on, with pgx (github.com/jackc/pgx/v5/stdlib),
// which takes slices as arrays; other drivers are not tested. What a [Postgres]
// promises, besides the contract of [work.Store]:
//   - What a call has stored survives a killed process, and a crash of the server
//     unless that has fsync off. Connections with synchronous_commit off are
//     refused.
//   - Any number of processes share the tables. No row is leased twice, and
//     NewPostgres ends nobody's leases.
//   - Leases are judged by the database's clock alone. So are the times that the
//     store itself puts, such as the due time of a mark for now, and whether a
//     date has come. [work.Lease].Until and the time of NextDue are translated to
//     the local clock, to be waited for; all other times are as they were given.
//   - A mark for now of a row that this store has under lease stays in memory and
//     is stored with the outcome: the lease makes the row due if the process dies.
//     Other processes see such a mark, its cause and the row's Dirty number when the
//     run is over; a process that dies takes them with it, but not the work.
//   - Where the loop asks for it ([work.LeaseRequest].Ahead), rows are leased before
//     there is a run for them: new marks lease their rows in the statement that
//     stores them, and what comes before the run costs nothing. To other
//     processes such a row is Running. If the process dies, they have it when the
//     lease ends.
//   - A call is all or nothing. Once it has a connection, the end of its context
//     does not stop it; [PostgresConfig.Timeout] does. A call that the server
//     refuses in favour of another, by a deadlock, is repeated within.
//   - If the server's answer is lost, a call fails although it may have been
//     stored. A repeated Finish then returns nil for what had been stored; a
//     repeated mark counts twice and costs one more run at most.
//   - After a lost connection or an outage of the server the store works on, on
//     new connections. Each lost one may cost a call.
//   - The statements of the reconcile loop read the rows that they give and no
//     others, however many wait or are done, also before there are statistics.
//     Listings and the pruning go by indexes as well; a listing of rows that are due
//     or running may sort all of the flow's. Stats counts all rows.
//   - NewPostgres makes the tables and brings older ones up to date, in one
//     transaction, while others that start wait. It refuses tables of a newer
//     version than it knows. If they are up to date it needs no rights but to use
//     them; otherwise its error names the statement that gives the rights.
//   - No error holds a key, a payload or a password, nor the server's details.
//
// A connector has a schema of its own ([PostgresConfig.Schema]), which its
// instances share: rows are told apart by flow, and rejected messages and the
// secret are common to all. Two connectors in one schema would take each other's
// work.
//
// What the operator should know:
//   - A call uses one connection, and mostly one round trip. database/sql keeps
//     only two idle connections unless told otherwise: set SetMaxIdleConns to
//     what SetMaxOpenConns has, for example 8.
//   - Rows are written two to three times for each run, so autovacuum must be on;
//     the tables ask for it early. A transaction left open, or a replication slot
//     left behind, keeps it from its work, and leasing becomes slow.
//   - Fan-out to entities that are new, made at the same time as marks for them,
//     can end in deadlocks. They are repeated within, but each costs the server's
//     deadlock_timeout, 1 s by default.
//   - What Forget and the pruning delete is in the files until they are vacuumed,
//     and in backups.
//   - Whoever may read the schema sees the keys of entities and the secret by
//     which they are hashed.
package sqlstore
