// Package gateway is the HTTP client for source APIs behind the API gateway
// (Gravitee, APIM 3 and 4). It fetches one resource at a time and says with
// package failure what every answer means; package source builds on it.
//
// What [Client.Get] promises:
//   - A response is a 200, 201 or 203 with a body that is not blank, read
//     completely. That the body is what the source wanted to say is for the
//     caller to check: the gateway can cut a body and still end it normally.
//   - An empty body, 202, 204, 205, 206 and 304 are failure.Failed: they are
//     never "no data".
//   - A 404 or 410 is failure.Gone only if [Config].Gone accepts it, and never
//     if it holds the gateway's text for an API that it does not know. Without
//     proof it is failure.Unavailable.
//   - What concerns everybody is failure.Unavailable: no answer, 401, 403, 405,
//     406, 407, 408, 421, 425, 426, 429, 431, 5xx, redirects. All other 4xx are
//     failure.Failed.
//   - Retry-After, or for a 429 the end of an exhausted rate limit, quota or
//     spike window, becomes failure.RetryAfter: never negative, at most 24 h.
//   - A stray 502, 503, 504 or broken connection is retried a few times within
//     the call. A 503 that says Retry-After is not.
//   - The end of the caller's context is passed through, see errors.Is. The end
//     of [Config].Timeout is failure.Unavailable.
//   - Redirects are not followed, whatever they point to.
//   - No path leaves the base URL: one that could is failure.Rejected and not
//     sent, however it is escaped.
//   - With [Request].Fresh the gateway's cache is bypassed and overwritten. The
//     owner of an API can forbid that; no client can tell.
//   - The key goes to the base URL only, in a header only. It is in no error and
//     in nothing that fmt, slog or encoding/json print.
//   - Errors name the route and the transaction id, never the path, a header or
//     a part of the body other than the gateway's own fixed messages.
//   - Connections are reused whatever the answer was, as far as the gateway
//     keeps them open.
//   - A Client may be used concurrently.
package gateway
