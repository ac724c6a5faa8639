// Package sinktest is the suite of what a connector may expect of a sink: one
// subtest for each rule of sink.Sink, as sink.Ensure keeps them with a target.
// Run it on targets of your own:
//
//	func TestSink(t *testing.T) {
//		sinktest.Run(t, sinktest.Config{}, func(t *testing.T) sinktest.Harness[Account] {
//			directory := startDirectory(t)
//			return sinktest.Harness[Account]{
//				Target: directory.accounts(),
//				Want: func(n, version int) Account {
//					return Account{Name: fmt.Sprintf("name %d.%d", n, version), Room: strconv.Itoa(version)}
//				},
//				Text: func(n int, text string) Account { return Account{Name: text, Room: strconv.Itoa(n)} },
//				Down: directory.setDown,
//				…
//			}
//		})
//	}
//
// The suite stands between Ensure and the target: it counts calls, lets another
// writer in between a read and a write, loses answers, and ends contexts. So a
// target needs nothing for that.
//
// A rule that cannot be shown with what stands for the target system is left out
// by Config.Without, which says why; its subtest is skipped with that reason.
// Nothing is left out otherwise.
package sinktest
