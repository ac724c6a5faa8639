package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
)

// stateError is an error of the server without its message and its detail,
// which hold values.
type stateError struct{ text, state string }

func (e *stateError) Error() string { return e.text }

// SQLState returns the code of the error, as pgconn's own error does.
func (e *stateError) SQLState() string { return e.state }

// errNotUnique says that a key has two rows.
var errNotUnique = errors.New("the key has several rows")

// errMissed says that a statement which had to meet a row met none.
var errMissed = errors.New("the row is not as it was read")

// childError says that the rows wanted of a child cannot all be there.
type childError struct {
	child child
	bad   int
}

func (e *childError) Error() string {
	if e.bad == noKey {
		return fmt.Sprintf("a row of field %s has a null in its key", e.child.rows.field)
	}
	return fmt.Sprintf("two rows of field %s have the same key", e.child.rows.field)
}

// sentError is an error of a statement.
type sentError struct {
	error
	statement statement
}

func (e sentError) Unwrap() error { return e.error }

func inStatement(err error, st statement) error {
	if err == nil {
		return nil
	}
	return sentError{error: err, statement: st}
}

// inBatch is inStatement for the statement of a batch whose result was asked
// for. What could not even be sent says itself which it was.
func inBatch(err error, all []statement, at int) error {
	if unsent := (pgx.ErrPreprocessingBatch{}); errors.As(err, &unsent) {
		at = max(at, slices.IndexFunc(all, func(st statement) bool { return st.sql == unsent.SQL() }))
	}
	return inStatement(err, all[at])
}

// failed classifies the error of an operation on key. A value that the server
// could not convert may be the key's; it asks which.
func (t *Table[T]) failed(ctx context.Context, key entity.Key, err error) error {
	if err == nil {
		return nil
	}
	var server *pgconn.PgError
	if st := t.known.Load(); st != nil && errors.As(err, &server) && isData(server) && t.refuses(ctx, st, key) {
		return failure.As(failure.Rejected, &stateError{
			text:  fmt.Sprintf("postgres: Key: the ID is no %s (SQLSTATE %s)", t.keyTypes(st), server.Code),
			state: server.Code,
		})
	}
	return t.classified(err)
}

// keyTypes says of what type the key is, and what can be done.
func (t *Table[T]) keyTypes(st *statements) string {
	names, types := make([]string, len(t.shape.keys)), make([]string, len(t.shape.keys))
	for i, k := range t.shape.keys {
		names[i], types[i] = strconv.Quote(k.name), st.types[k.name].plain
	}
	return fmt.Sprintf("%s, the type of column %s of table %s; change the column's type, or name another",
		strings.Join(types, ", "), strings.Join(names, ", "), t.shape.name)
}

func isData(e *pgconn.PgError) bool { return strings.HasPrefix(e.Code, "22") }

// refuses reports whether the server cannot convert the key to the type of
// its columns.
func (t *Table[T]) refuses(ctx context.Context, st *statements, key entity.Key) bool {
	_, err := t.db.Exec(ctx, st.cast, t.shape.values(key)...)
	var server *pgconn.PgError
	return errors.As(err, &server) && isData(server)
}

// classified turns an error of pgx into one that has a class and no values.
func (t *Table[T]) classified(err error) error {
	var (
		connect *pgconn.ConnectError
		server  *pgconn.PgError
		scan    pgx.ScanArgError
		rows    *childError
		sent    sentError
	)
	table := t.shape.name
	if errors.As(err, &sent) && sent.statement.table != "" {
		table = sent.statement.table
	}
	switch {
	case errors.Is(err, sink.ErrExists), errors.Is(err, sink.ErrNotFound), errors.Is(err, sink.ErrConflict):
		return fmt.Errorf("postgres: table %s: %w", table, err)
	case errors.Is(err, errNotUnique):
		return fmt.Errorf("postgres: Key: %s of table %s is not unique; add a unique index, or name another column: %w",
			t.keyColumns(), table, sink.ErrAmbiguous)
	case errors.As(err, &rows):
		return failure.As(failure.Rejected, fmt.Errorf("postgres: table %s: %w", rows.child.name, rows))
	case errors.Is(err, errTooMany):
		return failure.As(failure.Rejected, fmt.Errorf("postgres: table %s: %w, they have more than %d values", table, errTooMany, maxArgs))
	case errors.As(err, &connect), isTransport(err):
		return failure.As(failure.Unavailable, fmt.Errorf("postgres: table %s: %w", table, untold(err)))
	case errors.As(err, &server):
		return t.ofServer(server, table)
	case errors.As(err, &scan):
		return fmt.Errorf("postgres: table %s: column %q holds what its field of T cannot; change the field's type", table, scan.FieldName)
	}
	if c, ok := isEncoding(err, sent.statement); ok {
		return failure.As(failure.Rejected, fmt.Errorf("postgres: table %s: a %v cannot be sent for column %q; change the type of field %s",
			table, c.typ, c.name, c.field))
	}
	return fmt.Errorf("postgres: table %s: an error of type %T", table, untold(err))
}

// untold returns the error of a statement without the statement.
func untold(err error) error {
	if sent := (sentError{}); errors.As(err, &sent) {
		return sent.error
	}
	return err
}

func (t *Table[T]) keyColumns() string {
	if len(t.shape.keys) == 1 {
		return fmt.Sprintf("column %q", t.shape.keys[0].name)
	}
	names := make([]string, len(t.shape.keys))
	for i, k := range t.shape.keys {
		names[i] = strconv.Quote(k.name)
	}
	return "the columns " + strings.Join(names, ", ")
}

// isEncoding reports whether err says that pgx could not send an argument, and
// of which column. There is no type for it, and its text holds the value.
func isEncoding(err error, st statement) (column, bool) {
	_, text, ok := strings.Cut(err.Error(), "failed to encode args[")
	if !ok {
		return column{}, false
	}
	n, _, _ := strings.Cut(text, "]")
	arg, err := strconv.Atoi(n)
	if err != nil || arg < 0 || arg >= len(st.columns) || st.columns[arg].name == "" {
		return column{}, false
	}
	return st.columns[arg], true
}

// isTransport reports whether err is about the way to the server, or the time
// it took.
func isTransport(err error) bool {
	var network net.Error
	return errors.As(err, &network) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, pgconn.ErrConnClosed) ||
		err.Error() == "closed pool" // of the pool's own pool, which is not ours to import
}

// ofServer classifies what the server answered.
func (t *Table[T]) ofServer(e *pgconn.PgError, table string) error {
	if strings.HasPrefix(e.Code, "42") || strings.HasPrefix(e.Code, "0A") {
		t.known.Store(nil) // the table may have changed: look again
	}
	class, words := meaning(e.Code)
	var at strings.Builder
	for _, name := range []struct{ what, name string }{
		{"column", e.ColumnName}, {"constraint", e.ConstraintName}, {"type", e.DataTypeName},
	} {
		if name.name != "" {
			fmt.Fprintf(&at, ", %s %q", name.what, name.name)
		}
	}
	err := error(&stateError{
		text:  fmt.Sprintf("postgres: table %s: %s%s (SQLSTATE %s)", table, words, at.String(), e.Code),
		state: e.Code,
	})
	if strings.HasPrefix(e.Code, "40") {
		err = fmt.Errorf("%w: %w", err, sink.ErrConflict)
	}
	return failure.As(class, err)
}

// meaning returns the class of an SQLSTATE and what it says in words. The
// package comment has the same as a table.
func meaning(state string) (failure.Class, string) {
	switch state {
	case "23502":
		return failure.Rejected, "a value is missing, null is not allowed"
	case "23514":
		return failure.Rejected, "a check constraint refuses a value"
	case "23505":
		return failure.Failed, "another row has a value that must be unique"
	case "23503":
		return failure.Failed, "a row refers to one that is not there, or is referred to still"
	case "42501":
		return failure.Unavailable, "the user lacks a right"
	case "42P10":
		return failure.Unavailable, "the key column has no unique index"
	case "55000":
		return failure.Unavailable, "the table cannot be written"
	case "55P03":
		return failure.Failed, "somebody else holds a lock"
	case "57014":
		return failure.Unavailable, "it took too long"
	}
	switch state[:min(2, len(state))] {
	case "22", "44", "54":
		return failure.Rejected, "a value does not fit its column"
	case "40":
		return failure.Failed, "another transaction was in the way"
	case "42", "3F":
		return failure.Unavailable, "the table is not as expected"
	case "25":
		return failure.Unavailable, "the transaction or the server does not write"
	case "08", "26", "28", "3D", "53", "57", "58", "F0", "XX":
		return failure.Unavailable, "the server does not serve"
	}
	return failure.Failed, "the server refuses"
}
