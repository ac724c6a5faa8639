// Package storetest is the suite that every [work.Store] passes: one subtest
// for each rule of the contract, and random histories against a model.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(dir string) (work.Store, func() error, error) {
//			return work.NewMemory(), nil, nil
//		})
//	}
//
// Every subtest runs in a bubble of testing/synctest, so that a lease of an hour
// takes no time, and time.Now stands still while the store works. For a store
// in a database this means:
//   - What has goroutines or channels, a *sql.DB first of all, is opened and
//     closed within the bubble: open it in the Open function and close it in the
//     function that this returns, not in t.Cleanup of the test around it. A
//     *sql.DB from outside makes the runtime panic or the bubble hang.
//   - modernc.org/sqlite needs no more than that: it keeps no goroutines between
//     calls. It waits for a lock in virtual time if the call's context can end,
//     in real time if it cannot, as with context.Background.
//   - A query to a server over a socket holds the bubble's clock until it is
//     answered, which is right. A goroutine that reads from a socket all the
//     time stops the clock for ever: switch such a thing off.
//   - Never sleep while holding a mutex that another goroutine wants: waiting
//     for a mutex does not let the clock go on either.
package storetest
