package vagrantapi

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/internal/auth"
)

// Vagrant sends the password of a URL with the request for a catalog but not with that for the box (hashicorp/vagrant#8488),
// and a token only when the environment says so. So the URLs in the catalog of a private box carry a proof themselves. It
// is the same for a whole period, because Vagrant resumes a download only under the URL that it began with, and it holds
// for the token that asked for the catalog: when that is revoked or loses its rights, the URL ends.
const (
	signPeriod = 30 * 24 * time.Hour
	signGrace  = 48 * time.Hour // how long a URL works after its period
)

// signer makes and checks the proofs: "TOKEN.PERIOD.MAC", the number of the token, the number of the period, and an HMAC of both
// and the path.
type signer struct {
	key []byte
	who Principals
	now func() time.Time
}

// ready tells whether URLs can be signed for somebody.
func (s signer) ready(p auth.Principal) bool { return len(s.key) > 0 && s.who != nil && p.Token != 0 }

// period is the number of the present one.
func (s signer) period() int64 { return s.now().Unix() / int64(signPeriod/time.Second) }

func periodEnd(period int64) time.Time {
	return time.Unix((period+1)*int64(signPeriod/time.Second), 0)
}

// sign is the path under which the holder of a token gets what is at path.
func (s signer) sign(token, period int64, path string) string {
	return "/dl/" + s.proof(token, period, path) + path
}

func (s signer) proof(token, period int64, path string) string {
	mac := hmac.New(sha256.New, s.key)
	fmt.Fprintf(mac, "%d\n%d\n%s", token, period, path)
	return fmt.Sprintf("%d.%d.%s", token, period, base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16]))
}

// Signed answers for a signed path as for the path in it, asked by whoever signed. It stands before everything that wants
// to know who asks. A signature that does not hold proves nothing, and does no harm to a public box either.
func (a *API) Signed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/dl/"); ok && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			r = a.signs.unsigned(r, rest)
		}
		next.ServeHTTP(w, r)
	})
}

// unsigned is a request for the path behind the signature that rest begins with.
func (s signer) unsigned(r *http.Request, rest string) *http.Request {
	signature, path, _ := strings.Cut(rest, "/")
	path = "/" + path
	if !strings.Contains(path, "/boxes/") {
		return r // nothing else is ever signed
	}
	ctx := r.Context()
	if who, err := s.check(ctx, signature, path); err == nil {
		ctx = auth.WithPrincipal(ctx, who)
	}
	r = r.WithContext(ctx)
	u := *r.URL
	u.Path, u.RawPath = path, ""
	r.URL = &u
	return r
}

// check returns who signed for a path, or auth.ErrRefused.
func (s signer) check(ctx context.Context, signature, path string) (auth.Principal, error) {
	if len(s.key) == 0 || s.who == nil {
		return auth.Principal{}, auth.ErrRefused
	}
	token, rest, _ := strings.Cut(signature, ".")
	period, _, _ := strings.Cut(rest, ".")
	id, idErr := strconv.ParseInt(token, 10, 64)
	n, periodErr := strconv.ParseInt(period, 10, 64)
	genuine := hmac.Equal([]byte(signature), []byte(s.proof(id, n, path)))
	if idErr != nil || periodErr != nil || !genuine || s.now().After(periodEnd(n).Add(signGrace)) {
		return auth.Principal{}, auth.ErrRefused
	}
	return s.who.Principal(ctx, id)
}
