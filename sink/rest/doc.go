// Package rest is a target behind an HTTP API with JSON: each entity is a
// resource. A [Config] declares the API, [New] makes a [Target] of it, which
// [sink.Ensure] makes a sink of.
//
// T is what the connector wants of the resource, as encoding/json writes it: a
// struct, whose fields may be [sink.Optional] with the option omitzero, or a
// map. Members that it names are compared and written, also within objects; the
// rest of the resource is the target's own.
//
// An entity is found by a path with its key, or by a search. What is found by a
// search is the target's to name: it is the id in the answer that later requests
// have in their path.
//
// What it promises:
//   - What a search answers is believed only if it holds the key itself: many
//     APIs ignore parameters that they do not know, or match loosely, and answer
//     everybody. Several that match are [sink.ErrAmbiguous]. The next page is
//     read only if a page holds no match, and only from the same host.
//   - null, an empty array, an empty object and what is not there are the same;
//     numbers are compared by value; arrays in order, but for Config.Sets. So
//     what was written is found equal.
//   - An update sends what differs, or with PutWhole all that was read, changed.
//     It is one to the state that was read if the target gives a strong ETag, or
//     has a Version. A search gives none, so set Summary where that matters.
//   - A 404 is "not there" only if it is the API's own, see below.
//   - IDs in paths and queries are escaped. An ID that something on the way could
//     take for a step up, "..", is rejected and never sent.
//   - Redirects are not followed, so that secrets stay with the host that they
//     are meant for. It is reached by TLS, unless it is this machine.
//   - Errors name the declared path, the status, and those of the document's own
//     members that a refusal names. Nothing else of an answer is repeated.
//
// Errors are classified for package failure; Config.Judge overrules:
//
//	what happened                                             class
//	no answer, too slow, ctx ended                            Unavailable
//	401, 403, 405, 415, 428, 429, 5xx; Retry-After is kept    Unavailable
//	a redirect, a page of HTML where JSON should be           Unavailable
//	404 to a POST, to a search, or without proof              Unavailable
//	an answer that is not as declared: List, Match            Unavailable
//	400, 422 and other 4xx                                    Rejected
//	an ID that cannot stand in a path, a T without JSON       Rejected
//	409 to a change: a value that must be unique              Failed
//	202, 206, 207: not done yet, or not in whole              Failed
//	an answer that is no JSON, of another entity, too large   Failed
//	several match, or none on the pages that are read         Failed
//
// To [sink.Ensure], 409 or 412 to a create means that it exists, 412 to a change,
// or 409 with Config.Version, that somebody else changed it.
//
// A target that changes what it stores, so that it never reads as wanted, makes
// every Apply an update.
package rest
