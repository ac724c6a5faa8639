package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
)

// The operations, as errors name them.
const (
	opAdd    = "add"
	opModify = "modify"
	opRename = "rename"
	opDelete = "delete"
	opSearch = "search"
	opSchema = "read the schema"
)

// resultError is what a server answered, without its text, which may hold
// values.
type resultError struct {
	text string
	code uint16
}

func (e *resultError) Error() string { return e.text }

// ResultCode returns the result code (RFC 4511, section 4.1.9).
func (e *resultError) ResultCode() uint16 { return e.code }

// codeOf returns the result code of err, and false if it is no server's answer.
func codeOf(err error) (code uint16, diagnostic string, ok bool) {
	var server *goldap.Error
	if !errors.As(err, &server) || server.ResultCode >= goldap.ErrorNetwork && server.ResultCode < 4096 {
		return 0, "", false
	}
	if server.Err != nil {
		diagnostic = server.Err.Error()
	}
	return server.ResultCode, diagnostic, true
}

// withoutText keeps of an error of go-ldap what holds no value.
func withoutText(err error) error {
	if code, _, ok := codeOf(err); ok {
		return &goldap.Error{ResultCode: code, Err: errors.New("refused")}
	}
	if isLost(err) {
		return transportError{lost(err)}
	}
	return errors.New("an answer that cannot be read")
}

// lost returns the error of a connection. What go-ldap says of packets that it
// cannot read is left out.
func lost(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	text := err.Error()
	for _, known := range []string{"unable to read LDAP response packet", "unable to send request", "TLS handshake failed",
		"connection closed", "response channel closed", "connection timed out"} {
		if strings.Contains(text, known) {
			return errors.New(strings.TrimPrefix(text, fmt.Sprintf("LDAP Result Code %d %q: ", goldap.ErrorNetwork, "Network Error")))
		}
	}
	return errors.New("an answer that cannot be read")
}

// classified turns an error of go-ldap into one that has a class and no values.
// Errors of ours are left as they are.
func (c *Client) classified(op string, err error) error {
	if err == nil {
		return nil
	}
	code, diagnostic, ok := codeOf(err)
	switch {
	case failure.Of(err) != failure.Failed:
		return failure.As(failure.Of(err), fmt.Errorf("ldap: %s: %w", op, err))
	case ok:
		return c.ofServer(op, code, diagnostic)
	case errors.As(err, new(transportError)):
		return failure.As(failure.Unavailable, fmt.Errorf("ldap: %s: %w", op, err))
	default:
		return failure.As(failure.Unavailable, fmt.Errorf("ldap: %s: %w", op, lost(err)))
	}
}

// rejected returns an error for what the target can never hold.
func rejected(format string, args ...any) error {
	return failure.As(failure.Rejected, fmt.Errorf("ldap: "+format, args...))
}

// ofServer classifies what the server answered.
func (c *Client) ofServer(op string, code uint16, diagnostic string) error {
	class, sentinel := meaning(op, code, diagnostic)
	name := goldap.LDAPResultCodeMap[code]
	if name == "" {
		name = "a code of its own"
	}
	text := fmt.Sprintf("ldap: %s: %s", op, name)
	if names := c.schema.Load().named(diagnostic); len(names) > 0 {
		text += ", " + strings.Join(names, ", ")
	}
	if code == goldap.LDAPResultUnavailableCriticalExtension || code == goldap.LDAPResultUndefinedAttributeType {
		c.schema.Store(nil) // it may be another server's, or have changed: look again
	}
	err := error(&resultError{text: fmt.Sprintf("%s (%d)", text, code), code: code})
	if sentinel != nil {
		err = fmt.Errorf("%w: %w", err, sentinel)
	}
	return failure.As(class, err)
}

// meaning returns the class of a result code, and the error by which Ensure
// knows what to do. The package comment has the same as a table.
func meaning(op string, code uint16, diagnostic string) (failure.Class, error) {
	if sentinel := sentinelOf(op, code); sentinel != nil {
		return failure.Failed, sentinel
	}
	switch code {
	case goldap.LDAPResultUndefinedAttributeType, goldap.LDAPResultInappropriateMatching,
		goldap.LDAPResultInvalidAttributeSyntax, goldap.LDAPResultInvalidDNSyntax,
		goldap.LDAPResultNamingViolation, goldap.LDAPResultObjectClassViolation,
		goldap.LDAPResultNotAllowedOnRDN, goldap.LDAPResultObjectClassModsProhibited,
		goldap.LDAPResultAffectsMultipleDSAs:
		return failure.Rejected, nil
	case goldap.LDAPResultConstraintViolation:
		if clashes(diagnostic) {
			return failure.Failed, nil
		}
		return failure.Rejected, nil
	case goldap.LDAPResultUnwillingToPerform:
		if isReadOnly(diagnostic) {
			return failure.Unavailable, nil
		}
		return failure.Failed, nil
	case goldap.LDAPResultNoSuchObject:
		if op == opSearch || op == opSchema {
			return failure.Unavailable, nil
		}
		return failure.Failed, nil
	case goldap.LDAPResultEntryAlreadyExists, goldap.LDAPResultAttributeOrValueExists, goldap.LDAPResultNoSuchAttribute,
		goldap.LDAPResultNotAllowedOnNonLeaf, goldap.LDAPResultAssertionFailed, goldap.LDAPResultAliasProblem,
		goldap.LDAPResultAliasDereferencingProblem:
		return failure.Failed, nil
	default:
		return failure.Unavailable, nil
	}
}

func sentinelOf(op string, code uint16) error {
	writes := op == opModify || op == opRename || op == opDelete
	switch code {
	case goldap.LDAPResultNoSuchObject:
		if writes {
			return sink.ErrNotFound
		}
	case goldap.LDAPResultAssertionFailed:
		if writes {
			return sink.ErrConflict
		}
	case goldap.LDAPResultNoSuchAttribute, goldap.LDAPResultAttributeOrValueExists:
		if op == opModify {
			return sink.ErrConflict
		}
	case goldap.LDAPResultEntryAlreadyExists:
		if op == opModify { // of a value, in Active Directory
			return sink.ErrConflict
		}
	}
	return nil
}

// clashes reports whether a constraint violation is about a value that another
// entry has: the overlay unique, 389 Directory Server, Active Directory.
func clashes(diagnostic string) bool {
	d := strings.ToLower(diagnostic)
	return slices.ContainsFunc([]string{"not unique", "non-unique", "already exists", "000021c7", "000021c8"}, func(s string) bool {
		return strings.Contains(d, s)
	})
}

// isReadOnly reports whether a server is not willing because it does not take
// writes now.
func isReadOnly(diagnostic string) bool {
	d := strings.ToLower(diagnostic)
	return strings.Contains(d, "operation restricted") || strings.Contains(d, "read-only") || strings.Contains(d, "read only")
}
