package vagrantapi

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"

	"github.com/boxkiln/boxkiln/internal/auth"
)

// username is what somebody is called by the clients.
func username(p auth.Principal) string { return cmp.Or(p.User, p.Name) }

type userAnswer struct {
	User struct {
		Username string `json:"username"`
	} `json:"user"`
}

// whoami checks a token. Every "vagrant cloud" command asks it, and Packer before it builds anything.
func (a *API) whoami(r request) (any, error) {
	if err := r.known(); err != nil {
		return nil, err
	}
	var out userAnswer
	out.User.Username = username(r.who)
	return out, nil
}

type tokenAnswer struct {
	Token       string    `json:"token"`
	TokenHash   string    `json:"token_hash"`
	CreatedAt   timestamp `json:"created_at"`
	Description string    `json:"description"`
}

// login gives a token for a password. There is no second factor here: Vagrant 2.3.4 dies with a trace when it is asked for
// one. Who wants better than a password makes a token on the web pages and hands it to "auth login --token".
func (a *API) login(r request) (any, error) {
	if err := needs(a.o.Accounts != nil, "passwords: use `vagrant cloud auth login --token TOKEN`. It has none"); err != nil {
		return nil, err
	}
	body, err := readBody[loginBody](r, "")
	if err != nil {
		return nil, err
	}
	token, err := a.o.Accounts.Login(r.ctx(), body.User.Login, body.User.Password, body.Token.Description, auth.ClientLife)
	if errors.Is(err, auth.ErrRefused) {
		return nil, refuse(http.StatusUnauthorized,
			"Unauthorized: there is no user of that name with that password; check both, or log in with a token (vagrant cloud auth login --token TOKEN)")
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(token))
	return tokenAnswer{token, hex.EncodeToString(sum[:]), timestamp(a.o.Now()), body.Token.Description}, nil
}

// logout revokes the token that the request came with.
func (a *API) logout(r request) (any, error) {
	if err := needs(a.o.Accounts != nil, "accounts"); err != nil {
		return nil, err
	}
	if err := r.known(); err != nil {
		return nil, err
	}
	if r.who.Token == 0 {
		return nil, refuse(http.StatusUnprocessableEntity, "This request came without a token, so there is none to revoke.")
	}
	return struct{}{}, a.o.Accounts.Logout(r.ctx(), r.who.Token)
}

// twoFactor is asked by nobody, since no answer of login demands a code; the gem still has the method.
func (a *API) twoFactor(request) (any, error) {
	return nil, refuse(http.StatusUnprocessableEntity,
		"This registry asks for no second factor: log in with the password alone, or with a token (vagrant cloud auth login --token TOKEN).")
}
