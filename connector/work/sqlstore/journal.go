package sqlstore

import (
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/konnektor-go/konnektor/connector/work"
)

const (
	sqlAppend = `INSERT INTO konnektor_journal (states) VALUES ($1)`

	sqlJournal = `SELECT states FROM konnektor_journal ORDER BY seq`

	sqlTrim = `DELETE FROM konnektor_journal WHERE seq < $1`
)

// journalFormat is the first byte of an entry.
const journalFormat = 1

// journal appends the rows that the session has changed, as they are now.
func (ss *session) journal() error {
	if len(ss.order) == 0 {
		return nil
	}
	if err := ss.begin(); err != nil {
		return err
	}
	entry := append(make([]byte, 0, 256*len(ss.order)), journalFormat)
	for _, r := range ss.order {
		entry = r.append(entry)
	}
	seq, err := ss.append(entry)
	if err != nil {
		return err
	}
	for _, r := range ss.order {
		r.seq = seq
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
	result, err := ss.stmt(sqlAppend).ExecContext(ss.ctx, entry)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// append appends a row's state.
func (r *hotRow) append(b []byte) []byte {
	for _, text := range []string{r.id.flow, r.id.key.Type, r.id.key.ID} {
		b = appendText(b, text)
	}
	for _, n := range r.numbers() {
		b = binary.AppendVarint(b, *n)
	}
	for _, t := range r.times() {
		b = binary.AppendVarint(b, int64(*t))
	}
	for _, text := range r.texts() {
		b = appendText(b, *text)
	}
	b = appendText(b, string(r.result))
	b = appendText(b, string(r.fingerprint))
	b = binary.AppendVarint(b, int64(r.priority))
	b = binary.AppendVarint(b, int64(r.attempts))
	b = binary.AppendVarint(b, int64(r.deferrals))
	b = binary.AppendVarint(b, int64(r.cause.Hops))
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

func (r *rowState) numbers() [3]*int64 { return [3]*int64{&r.dirty, &r.done, &r.leased} }

func (r *rowState) times() [7]*millis {
	return [7]*millis{&r.due, &r.until, &r.first, &r.last, &r.applied, &r.finished, &r.caused}
}

func (r *rowState) texts() [8]*string {
	return [8]*string{
		&r.summary, &r.group, &r.owner, &r.token, &r.cause.Kind, &r.cause.EventID, &r.cause.RoutingKey, &r.cause.Trace,
	}
}

func (r *rowState) flags() [3]*bool { return [3]*bool{&r.present, &r.parked, &r.renewed} }

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
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

func (e *entryReader) text() string {
	n := e.length()
	if n > uint64(len(e.rest)) {
		e.bad, n = true, 0
	}
	text := string(e.rest[:n])
	e.rest = e.rest[n:]
	return text
}

func (e *entryReader) row() *hotRow {
	r := &hotRow{changed: true, dated: true}
	r.id.flow, r.id.key.Type, r.id.key.ID = e.text(), e.text(), e.text()
	for _, n := range r.numbers() {
		*n = e.number()
	}
	for _, t := range r.times() {
		*t = millis(e.number())
	}
	for _, text := range r.texts() {
		*text = e.text()
	}
	r.result, r.fingerprint = work.Result(e.text()), []byte(e.text())
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
		return nil, fmt.Errorf("%w, or of a newer program", errJournal)
	}
	e := entryReader{rest: entry[1:]}
	for len(e.rest) > 0 && !e.bad {
		rows = append(rows, e.row())
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
