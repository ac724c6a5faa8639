// Package auth has the credentials that a gateway.Client sends: keys, passwords
// and OAuth 2 tokens, as values of [gateway.Config].Auth. Several work
// together, a key for the gateway and a token for the backend behind it.
// Package maskinporten has the tokens of Maskinporten, on top of this one.
//
// What it promises:
//   - A [File] is looked at for every use, so that a new secret in it is in use
//     with the next request. While the file is gone, empty or unreadable the
//     last one that it held is used.
//   - A request refused by 401 is sent once more if its credentials are not the
//     current ones any more. A token counts as such if the refusal is about it,
//     see [Bearer], and it is at least a minute old.
//   - Concurrent requests share a token, and one fetch of it. Whoever waits for
//     that can stop waiting, and another takes over.
//   - A token is renewed when a quarter of its life remains, at most a minute.
//     If that fails, it is used until 5 s, at most a tenth of its life, remain.
//   - A token's life is counted from before it was asked for, so that it does
//     not matter whether clocks agree.
//   - A token endpoint that fails or refuses is failure.Unavailable for all
//     requests, with its Retry-After. It is left alone that long, at least about
//     a second, doubling to a minute: meanwhile requests fail at once.
//   - Secrets and tokens go where they belong: client secrets to the token
//     endpoint, over https unless it is on a loopback address, everything else
//     to the gateway. No redirect is followed.
//   - Secrets and tokens are in no error, and in nothing that fmt, slog or
//     encoding/json print.
package auth
