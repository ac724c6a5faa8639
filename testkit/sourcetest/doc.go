// Package sourcetest is the suite of what a connector may expect of a source:
// one subtest for each rule of source.Source, and of source.Lister. Run it on
// sources of your own:
//
//	func TestSource(t *testing.T) {
//		sourcetest.Run(t, sourcetest.Config{Virtual: true}, func(t *testing.T) sourcetest.Harness[Person] {
//			register := newFakeRegister(t)
//			return sourcetest.Harness[Person]{
//				Source:  register.source(),
//				Put:     register.put,
//				Version: func(p Person) int { return p.Version },
//				Delete:  register.delete,
//				Down:    register.setDown,
//				…
//			}
//		})
//	}
//
// A rule that cannot be shown with what stands for the source system is left out
// by Config.Without, which says why; its subtest is skipped with that reason.
// Nothing is left out otherwise.
package sourcetest
