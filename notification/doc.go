// Package notification understands the thin messages by which source systems
// say that an entity may have changed, whatever dialect they come in, and
// filters them.
//
// What it promises:
//   - A message is recognised by its content, whatever its content type says.
//   - What cannot be understood is an error with a clear reason. It never
//     panics, and a reason holds nothing of the message but names of fields.
//   - The host of a URL in a message is never part of what comes out as the
//     entity's key.
//   - A notification prints its type and a redacted key only.
//
// The dialects are CloudEvents 1.0 in structured JSON and the bare reference
// ("accounts/123456"). Others plug in as a [Decoder].
package notification
