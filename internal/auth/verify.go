package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// ErrThrottled is the ErrRefused of a password that was not even looked at, because too many wrong ones came before it.
var ErrThrottled = fmt.Errorf("%w: too many wrong passwords, try again in a minute", ErrRefused)

// How many passwords may be refused in a FailureWindow. A name alone has much room, so that nobody is locked out by somebody who
// guesses from elsewhere, and yet has a limit for those who guess from everywhere.
const (
	failuresOfAddress = 4 * FailuresAllowed
	failuresOfName    = 20 * FailuresAllowed
)

// hashers is how many passwords are looked at at once: each takes a processor for a twentieth of a second, and builds want
// some too.
func hashers() int { return max(1, runtime.NumCPU()/2) }

// nobody is the hash that is compared for users who are not known or have no password, so that those take no less time. It is
// written down rather than made: that would take every start of the program as long as a login.
func nobody(cost int) []byte {
	return fmt.Appendf(nil, "$2a$%02d$vidwMNVZrNPoYW35pWlXku..vJy7DXQkLIfh4PcJGuFeb31ogD7em", cost)
}

// verify finds the user of a name and password. Errors: ErrRefused, whatever is wrong with them.
func (t *Tokens) verify(ctx context.Context, login, password string) (userRow, error) {
	select {
	case t.hashing <- struct{}{}:
		defer func() { <-t.hashing }()
	case <-ctx.Done():
		return userRow{}, context.Cause(ctx)
	}
	// Only now: of a thousand guesses that came together no more are looked at than of those that come one by one.
	tries := t.tries(ctx, login)
	if tries.spent(&t.failures, t.now()) {
		return userRow{}, ErrThrottled
	}
	u, err := userByName(ctx, t.db.R, login)
	if err != nil && !errors.Is(err, ErrNoUser) {
		return userRow{}, err
	}
	known := []byte(u.password)
	if len(known) == 0 {
		known = nobody(t.cost)
	}
	// What is longer than bcrypt takes is nobody's password.
	if bcrypt.CompareHashAndPassword(known, []byte(password)) != nil || u.password == "" {
		tries.count(&t.failures, t.now())
		return userRow{}, ErrRefused
	}
	return u, nil
}

// limit is how many failures a key may have.
type limit struct {
	key     string
	allowed int
}

// longestName is what is kept of the name that somebody tries: no user has a longer one.
const longestName = 128

// limits are all that one attempt falls under.
type limits []limit

// tries are the limits of an attempt. Names are folded as the database compares them, and keys of each kind have a letter of
// their own, so that no name can pass for an address.
func (t *Tokens) tries(ctx context.Context, login string) limits {
	name, addr := strings.ToLower(login[:min(len(login), longestName)]), AddressFrom(ctx)
	all := limits{{"n" + name, failuresOfName}, {"b" + addr + " " + name, FailuresAllowed}}
	if addr != "" {
		all = append(all, limit{"a" + addr, failuresOfAddress})
	}
	return all
}

func (l limits) spent(f *Failures, now time.Time) bool {
	for _, one := range l {
		if f.wait(one.key, one.allowed, now) > 0 {
			return true
		}
	}
	return false
}

func (l limits) count(f *Failures, now time.Time) {
	for _, one := range l {
		f.Count(one.key, now)
	}
}
