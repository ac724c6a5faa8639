package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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

// failed classifies the error of an operation on key, whose arguments after the
// key were values of the given columns. A value that the server could not
// convert may be the key's; it asks which.
func (t *Table[T]) failed(ctx context.Context, key entity.Key, err error, columns []column) error {
	if err == nil {
		return nil
	}
	var server *pgconn.PgError
	if st := t.known.Load(); st != nil && errors.As(err, &server) && isData(server) && t.refuses(ctx, st, key) {
		return failure.As(failure.Rejected, &stateError{
			text: fmt.Sprintf("postgres: Key: the ID is no %s, the type of column %q of table %s; "+
				"change the column's type, or name another (SQLSTATE %s)",
				st.types[t.shape.key.name].plain, t.shape.key.name, t.shape.name, server.Code),
			state: server.Code,
		})
	}
	return t.classified(err, columns)
}

func isData(e *pgconn.PgError) bool { return strings.HasPrefix(e.Code, "22") }

// refuses reports whether the server cannot convert the ID to the type of the
// key column.
func (t *Table[T]) refuses(ctx context.Context, st *statements, key entity.Key) bool {
	_, err := t.db.Exec(ctx, st.cast, key.ID)
	var server *pgconn.PgError
	return errors.As(err, &server) && isData(server)
}

// classified turns an error of pgx into one that has a class and no values.
func (t *Table[T]) classified(err error, columns []column) error {
	var (
		connect *pgconn.ConnectError
		server  *pgconn.PgError
		scan    pgx.ScanArgError
		arg     int
	)
	switch {
	case errors.Is(err, sink.ErrExists), errors.Is(err, sink.ErrNotFound), errors.Is(err, sink.ErrConflict):
		return fmt.Errorf("postgres: table %s: %w", t.shape.name, err)
	case errors.Is(err, errNotUnique):
		return failure.As(failure.Unavailable, fmt.Errorf("postgres: Key: column %q of table %s is not unique; "+
			"add a unique index, or name another column", t.shape.key.name, t.shape.name))
	case errors.As(err, &connect), isTransport(err):
		return failure.As(failure.Unavailable, fmt.Errorf("postgres: table %s: %w", t.shape.name, err))
	case errors.As(err, &server):
		return t.ofServer(server)
	case errors.As(err, &scan):
		return fmt.Errorf("postgres: table %s: column %q holds what its field of T cannot; change the field's type",
			t.shape.name, scan.FieldName)
	case isEncoding(err, &arg) && arg > 0 && arg <= len(columns):
		c := columns[arg-1]
		return failure.As(failure.Rejected, fmt.Errorf("postgres: table %s: a %v cannot be sent for column %q; change the type of field %s",
			t.shape.name, c.typ, c.name, c.field))
	default:
		return fmt.Errorf("postgres: table %s: an error of type %T", t.shape.name, err)
	}
}

// isEncoding reports whether err says that pgx could not send an argument, and
// which. There is no type for it, and its text holds the value.
func isEncoding(err error, arg *int) bool {
	n, _ := fmt.Sscanf(err.Error(), "failed to encode args[%d]:", arg)
	return n == 1
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
func (t *Table[T]) ofServer(e *pgconn.PgError) error {
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
		text:  fmt.Sprintf("postgres: table %s: %s%s (SQLSTATE %s)", t.shape.name, words, at.String(), e.Code),
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
