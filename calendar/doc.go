// Package calendar answers, for a mapping, whether something holds now and when
// that changes next: an account that exists from five days before the first day
// of an employment until 30 days after its last.
//
//	var accounts = calendar.Window{LeadDays: 5, LagDays: 30}
//
//	exists, next := accounts.Active(time.Now(), calendar.Period{From: e.FirstDay, To: e.LastDay})
//
// What next is goes to RecheckAt of the mapping's answer, whatever the answer.
//
// A source has dates, without a time of day or a zone. [Date] reads them, a
// [Period] has a first and a last day, and only a [Window] makes moments of
// them, in its zone.
//
// What it promises:
//   - A window begins and ends when a day begins on the clocks of its zone, also
//     where days have 23 or 25 hours. A day whose midnight is left out begins
//     when it is first shown, one that has two midnights begins with the first.
//   - The last day belongs to the period: the window ends when it is over.
//   - What Active answers is true from now until right before next, and no
//     longer true at next, as long as the periods stay the same. Next is after
//     now. If it is zero, the answer stays as it is.
//   - Periods that overlap or follow each other without a gap count as one.
//   - A period that ends before it begins has no day, whatever the window: so do
//     HR systems store an employment that came to nothing.
//   - What systems write for "no date" is no date: see [ParseDate]. A Date is
//     never one that the calendar does not have.
//   - What is read can be written and read again, and equals itself by ==.
//   - Error texts never hold the date: it may be somebody's date of birth.
package calendar
