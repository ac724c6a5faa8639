// Package cesql filters notifications by expressions in CloudEvents SQL 1.0,
// through the CloudEvents SDK. It is a package of its own because the SDK's SQL
// module brings a parser generator's runtime, an HTTP client and a logger along.
//
// What it promises:
//   - An expression that is not valid is an error at construction. A function
//     that does not exist is one too, if an event of no interest gets that far
//     in the expression.
//   - A notification is dropped only if the expression is false for it. If it
//     cannot be evaluated, because an attribute is missing or a value is of the
//     wrong type, the notification matches, and so does the filter's
//     [notification.Not]: losing it would be worse than looking at it in vain.
//   - A filter may be used concurrently.
package cesql

import (
	"errors"
	"fmt"

	"github.com/antlr/antlr4/runtime/Go/antlr"
	sql "github.com/cloudevents/sdk-go/sql/v2"
	sqlerrors "github.com/cloudevents/sdk-go/sql/v2/errors"
	"github.com/cloudevents/sdk-go/sql/v2/gen"
	"github.com/cloudevents/sdk-go/sql/v2/parser"
	"github.com/cloudevents/sdk-go/sql/v2/utils"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/konnektor-go/konnektor/notification"
)

// Filter returns a filter of the notifications for whose event the expression
// is true, for example
//
//	type LIKE 'no.uio.iga.%' AND EXISTS subject
//
// Attributes of the event are its names; missing ones can be asked for by
// EXISTS. The key, the operation, the audience and what changed are no
// attributes: filters of package notification know them.
func Filter(expression string) (notification.Filter, error) {
	parsed, err := parse(expression)
	if err != nil {
		return nil, fmt.Errorf("expression: %w", err)
	}
	return &filter{parsed}, nil
}

func parse(expression string) (parsed sql.Expression, err error) {
	// The SDK's parser prints what its lexer cannot read and goes on, and panics
	// on some expressions that are not finished.
	defer func() {
		if v := recover(); v != nil {
			parsed, err = nil, errors.New("is not valid CloudEvents SQL")
		}
	}()
	var bad badTokens
	lexer := gen.NewCESQLParserLexer(parser.NewCaseChangingStream(antlr.NewInputStream(expression), true))
	lexer.RemoveErrorListeners()
	lexer.AddErrorListener(&bad)
	lexer.GetAllTokens()
	if bad.found {
		return nil, fmt.Errorf("is not valid CloudEvents SQL at line %d, column %d", bad.line, bad.column+1)
	}
	parsed, err = parser.Parse(expression)
	if err == nil && parsed == nil {
		err = errors.New("is not valid CloudEvents SQL")
	}
	if err != nil {
		return nil, err
	}
	if _, err := parsed.Evaluate(event.New()); sqlerrors.IsMissingFunctionError(err) {
		return nil, err
	}
	return parsed, nil
}

// badTokens remembers the first text that is no token.
type badTokens struct {
	antlr.DefaultErrorListener

	found        bool
	line, column int
}

// SyntaxError implements antlr.ErrorListener.
func (b *badTokens) SyntaxError(_ antlr.Recognizer, _ any, line, column int, _ string, _ antlr.RecognitionException) {
	if !b.found {
		b.found, b.line, b.column = true, line, column
	}
}

type filter struct{ expression sql.Expression }

// Match implements notification.Filter.
func (f *filter) Match(n notification.Notification) bool {
	match, _ := f.Weigh(n)
	return match
}

// Weigh tells package notification's All, Any and Not whether the expression
// could be evaluated.
func (f *filter) Weigh(n notification.Notification) (match, sure bool) {
	value, err := f.expression.Evaluate(n.Event)
	if err == nil {
		value, err = utils.Cast(value, sql.BooleanType)
	}
	is, ok := value.(bool)
	if err != nil || !ok {
		return true, false
	}
	return is, true
}
