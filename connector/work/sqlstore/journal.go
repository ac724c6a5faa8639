package sqlstore

import (
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/konnektor-go/konnektor/connector/work"
)

const (
	sqlAppend = `INSERT INTO konnektor_journal (states) VALUES (?)`

	sqlJournal = `SELECT states FROM konnektor_journal ORDER BY seq`

	sqlTrim = `DELETE FROM konnektor_journal WHERE seq < $1`
)

// journalFormat is the first byte of an entry.
const journalFormat = 2

// journal appends the rows of which the session has changed something that must
// be stored, as they are now.
func (ss *session) journal() error {
	rows := make([]*hotRow, 0, len(ss.before))
	for i := range ss.before {
		if r := ss.before[i].row; r.owed {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if err := ss.begin(); err != nil {
		return err
	}
	entry := appendRows(make([]byte, 0, 128*len(rows)), rows)
	seq, err := ss.append(entry)
	if err != nil {
		return err
	}
	for _, r := range rows {
		r.seq, r.kept = seq, r.promise()
	}
	ss.hot.entries.add(seq, len(entry))
	return nil
}

// entries are what there may be in the journal, about.
type entries struct {
	first, last int64
	bytes       int
}

func (e *entries) add(seq int64, size int) {
	if e.first == 0 {
		e.first = seq
	}
	e.last = seq
	e.bytes += size
}

// trim tells that there are none before seq any more.
func (e *entries) trim(seq int64) {
	switch {
	case seq > e.last:
		*e = entries{}
	case seq > e.first:
		e.bytes = int(float64(e.bytes) * float64(e.last-seq+1) / float64(e.last-e.first+1))
		e.first = seq
	}
}

func (ss *session) append(entry []byte) (seq int64, err error) {
	result, err := ss.exec(sqlAppend, append(ss.args[:0], entry))
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// appendRows appends an entry with rows.
func appendRows(b []byte, rows []*hotRow) []byte {
	b = append(b, journalFormat)
	was := new(hotRow)
	for _, r := range rows {
		b = r.append(b, was)
		was = r
	}
	return b
}

// append appends a row's state, as far as it differs from that of the row before
// it in the entry: rows that change together have most texts and times in common,
// and the shorter an entry is, the fewer pages have to be written.
func (r *hotRow) append(b []byte, was *hotRow) []byte {
	before := was.texts()
	for i, text := range r.texts() {
		b = appendText(b, *text, *before[i])
	}
	b = appendText(b, string(r.result), string(was.result))
	times := was.times()
	for i, t := range r.times() {
		b = binary.AppendVarint(b, int64(*t-*times[i]))
	}
	for _, n := range [...]int64{
		r.dirty, r.done, r.leased, int64(r.priority), int64(r.attempts), int64(r.deferrals), int64(r.cause.Hops),
	} {
		b = binary.AppendVarint(b, n)
	}
	flags := byte(0)
	for i, f := range r.flags() {
		if *f {
			flags |= 1 << i
		}
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(len(r.later)))
	for _, at := range r.later {
		b = binary.AppendVarint(b, int64(at))
	}
	return b
}

func (r *hotRow) texts() [12]*string {
	return [12]*string{
		&r.id.flow, &r.id.key.Type, &r.id.key.ID,
		&r.summary, &r.group, &r.owner, &r.token, &r.fingerprint, &r.cause.Kind, &r.cause.EventID, &r.cause.RoutingKey, &r.cause.Trace,
	}
}

func (r *rowState) times() [7]*millis {
	return [7]*millis{&r.due, &r.until, &r.first, &r.last, &r.applied, &r.finished, &r.caused}
}

func (r *rowState) flags() [3]*bool { return [3]*bool{&r.present, &r.parked, &r.renewed} }

// appendText appends a text with its length and one more, or 0 for the text that
// the row before has.
func appendText(b []byte, text, was string) []byte {
	if text == was {
		return append(b, 0)
	}
	return append(binary.AppendUvarint(b, uint64(len(text))+1), text...)
}

var errJournal = errors.New("db: the journal is damaged")

// entryReader reads an entry of the journal.
type entryReader struct {
	rest []byte
	bad  bool
}

func (e *entryReader) number() int64 {
	n, size := binary.Varint(e.rest)
	return skip(e, n, size)
}

func (e *entryReader) length() uint64 {
	n, size := binary.Uvarint(e.rest)
	if n > uint64(len(e.rest)) { // all that has a length takes a byte for each
		size = 0
	}
	return skip(e, n, size)
}

// skip returns n, which takes size bytes.
func skip[N int64 | uint64](e *entryReader, n N, size int) N {
	if size <= 0 {
		e.bad, e.rest = true, nil
		return 0
	}
	e.rest = e.rest[size:]
	return n
}

func (e *entryReader) text(was string) string {
	n := e.length()
	if n == 0 {
		return was
	}
	if n--; n > uint64(len(e.rest)) {
		e.bad, n = true, 0
	}
	text := string(e.rest[:n])
	e.rest = e.rest[n:]
	return text
}

// row reads the row that comes after another one.
func (e *entryReader) row(was *hotRow) *hotRow {
	r := &hotRow{changed: true, dated: true}
	before := was.texts()
	for i, text := range r.texts() {
		*text = e.text(*before[i])
	}
	r.result = work.Result(e.text(string(was.result)))
	times := was.times()
	for i, t := range r.times() {
		*t = *times[i] + millis(e.number())
	}
	r.dirty, r.done, r.leased = e.number(), e.number(), e.number()
	r.priority, r.attempts = work.Priority(e.number()), int(e.number())
	r.deferrals, r.cause.Hops = int(e.number()), int(e.number())
	if len(e.rest) == 0 {
		e.bad = true
		return r
	}
	for i, f := range r.flags() {
		*f = e.rest[0]&(1<<i) != 0
	}
	e.rest = e.rest[1:]
	for range e.length() {
		r.later = append(r.later, millis(e.number()))
	}
	return r
}

// rowsOf returns the rows of a journal's entry.
func rowsOf(entry []byte) (rows []*hotRow, err error) {
	if len(entry) == 0 || entry[0] != journalFormat {
		return nil, fmt.Errorf("%w, or of another version of the program", errJournal)
	}
	e := entryReader{rest: entry[1:]}
	was := new(hotRow)
	for len(e.rest) > 0 && !e.bad {
		was = e.row(was)
		rows = append(rows, was)
	}
	if e.bad {
		return nil, errJournal
	}
	return rows, nil
}

// replay writes back what the journal of the process before holds.
func (ss *session) replay() error {
	entries, err := ss.tx.QueryContext(ss.ctx, sqlJournal)
	if err != nil {
		return err
	}
	rows, err := readJournal(entries)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := ss.write(r); err != nil {
			return err
		}
	}
	_, err = ss.tx.ExecContext(ss.ctx, `DELETE FROM konnektor_journal`)
	return err
}

// readJournal returns the rows as their last entries have them.
func readJournal(entries *sql.Rows) (map[rowID]*hotRow, error) {
	defer func() { _ = entries.Close() }() // Err says what matters
	last := make(map[rowID]*hotRow)
	for entries.Next() {
		var entry sql.RawBytes
		if err := entries.Scan(&entry); err != nil {
			return nil, err
		}
		rows, err := rowsOf(entry)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			last[r.id] = r
		}
	}
	return last, entries.Err()
}
