// Package notification understands the thin messages by which source systems
// say that an entity may have changed, whatever dialect they come in, filters
// them, and publishes them.
//
// # Dialects
//
// [Default] and [NewDecoder] know these. Others plug in as a [Decoder].
//
//   - CloudEvents 1.0: in structured JSON; in binary mode, with headers whose
//     prefix is "cloudEvents:", "cloudEvents_", "ce-" or "ce_", in any case. The
//     entity is in the subject, or else in data: see [DecoderConfig.DataFields].
//     The extension attributes that a [Publisher] writes become the notification's
//     fields again, and are then none of the event's.
//   - SCIM events, and the claims of a JWT: "sub" is the subject, "iss" the
//     source, "iat" the time, "aud" the audience. A SCIM event gives a
//     notification for each of its event URIs, with the attributes that changed.
//   - DFØ's {"id":"01234567","uri":"dfo:ansatte","gyldigEtter":"2026-12-01"}.
//   - The bare reference, accounts/123456, also as a JSON string.
//   - A batch: a JSON array of any of these.
//
// # What it promises
//
//   - A message is recognised by its content, whatever its content type says.
//   - A notification's event is a valid CloudEvent, and its subject names the
//     notification's key by the rule of [KeyOf].
//   - What a dialect does not tell is derived. An id: the message id that the
//     transport knows, with the place in a batch; without one, SHA-256 of
//     exchange, routing key, place in the batch, and text. A redelivery gives the
//     same id. Without a message id, so does another message of the same text:
//     such an id tells apart what was said, not how often. A type: the routing
//     key, or else "jwt", "dfo" or "reference". A source: the exchange, or else
//     "unknown". A time is never made up.
//   - The host of a URL in a message is never part of what comes out as the
//     entity's key.
//   - A number is an id only if it is written as an integer, of any length.
//   - Times may be RFC 3339, with or without a zone (then UTC), or seconds or
//     milliseconds since 1970, as number or text. DFØ's dates hold in
//     Europe/Oslo if they name no zone. A date in the year 9999 is none.
//   - A byte order mark is skipped, and so are attributes out of form that do
//     not bear on what the notification is about: extensions, datacontenttype,
//     dataschema, audience, what changed.
//   - What cannot be understood is an error with a clear reason: messages that
//     are too large (in bytes or as a batch) or nested too deep, that are not
//     valid UTF-8 or not valid JSON (so no trailing commas and no NULs), that
//     have two members of one name in an object that is looked into. It never
//     panics.
//   - A reason begins with the field's name, and holds nothing of the message.
//   - A message is decoded as a whole or not at all: one bad element refuses its
//     batch.
//   - A notification prints its type and a redacted key only.
//   - A filter drops only what it knows to be irrelevant, see [Filter].
//
// # Publishing
//
// A [Publisher] writes notifications as CloudEvents and hands them to any of
// Watermill's publishers. What it promises on top of that one:
//
//   - Whatever a decoder of this package makes of a message can be published, and
//     whatever is accepted is decoded to the same notification again, in either
//     mode: each event is read back before it is sent. Times are written in UTC,
//     extensions come back as text, white space around JSON is not kept. Not
//     accepted are ids of more than 255 bytes, and what is damaged, see
//     [Publisher.Publish].
//   - The message's UUID is the event's id; publishers of AMQP make it the message
//     id. The same notification has the same id each time, in either mode and
//     whatever the routing key.
//   - It is thin: data that does more than name entities and attributes is
//     refused, unless the config allows it.
//   - A notification that is refused is never sent, and keeps no other from being
//     sent. The error says which were not published. It names the field and the
//     fix, and holds no value but the event's type.
//   - Notifications of one entity in one call are published in their order, each
//     after the publisher below has taken the one before. Those of different
//     entities are published at the same time, a hundred at most, in any order.
//   - After the end of the context nothing more is sent.
//
// What it inherits: whether a message that was taken is stored, how often it
// arrives, whether one that nobody receives is an error, and whether a call that
// is under way ends with the context, which each message has. With package
// rabbitmq: stored, at least once, it is, and it does. Nothing is published again
// here; whoever does that by the error repeats the ids.
package notification
