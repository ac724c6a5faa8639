package connector

import (
	"context"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill"
)

// logAdapter lets Watermill log through slog. What Watermill calls information
// is of use to its developers only, so it goes to the debug level; and so does
// what its Router calls an error each time when the connector stops in order.
// (Watermill's own adapter builds all attributes even when nothing is logged.)
type logAdapter struct{ log *slog.Logger }

func (a logAdapter) Error(msg string, err error, fields watermill.LogFields) {
	level := slog.LevelError
	if msg == "All handlers stopped, closing router" {
		level = slog.LevelDebug
	}
	a.write(level, msg, fields, slog.Any("error", err))
}

func (a logAdapter) Info(msg string, fields watermill.LogFields) {
	a.write(slog.LevelDebug, msg, fields)
}

func (a logAdapter) Debug(msg string, fields watermill.LogFields) {
	a.write(slog.LevelDebug-1, msg, fields)
}

func (a logAdapter) Trace(msg string, fields watermill.LogFields) {
	a.write(watermill.LevelTrace, msg, fields)
}

func (a logAdapter) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return logAdapter{slog.New(a.log.Handler().WithAttrs(attrsOf(fields)))}
}

func (a logAdapter) write(level slog.Level, msg string, fields watermill.LogFields, more ...slog.Attr) {
	if ctx := context.Background(); a.log.Enabled(ctx, level) {
		a.log.LogAttrs(ctx, level, msg, append(attrsOf(fields), more...)...) //nolint:sloglint // Watermill's message
	}
}

func attrsOf(fields watermill.LogFields) []slog.Attr {
	attrs := make([]slog.Attr, 0, len(fields))
	for name, value := range fields {
		attrs = append(attrs, slog.Any(name, value))
	}
	return attrs
}
