package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func from(t *testing.T, addr string) context.Context {
	t.Helper()
	return WithAddress(context.WithoutCancel(t.Context()), netip.MustParseAddr(addr))
}

// Who guesses from elsewhere does not lock a user out, and gets no further himself.
func TestGuessersLockOutThemselves(t *testing.T) {
	t.Parallel()
	tokens, _ := access(t)
	thief := from(t, "192.0.2.66")
	for i := range FailuresAllowed {
		if _, err := tokens.Login(thief, "ada", fmt.Sprint("guess ", i), "", ClientLife); !errors.Is(err, ErrRefused) || errors.Is(err, ErrThrottled) {
			t.Errorf("guess %d: %v", i, err)
		}
	}
	if _, err := tokens.Login(thief, "ada", "correct horse", "", ClientLife); !errors.Is(err, ErrThrottled) || !errors.Is(err, ErrRefused) {
		t.Errorf("after %d guesses: %v", FailuresAllowed, err)
	}
	if _, err := tokens.Login(from(t, "192.0.2.1"), "ada", "correct horse", "", ClientLife); err != nil {
		t.Errorf("ada at home: %v", err)
	}
}

func TestAddressesAreLimitedOverNames(t *testing.T) {
	t.Parallel()
	tokens, now := access(t)
	for i := range failuresOfAddress {
		tokens.tries(from(t, "2001:db8:1:2::"+fmt.Sprint(i)), fmt.Sprint("user", i)).count(&tokens.failures, *now)
	}
	if _, err := tokens.Login(from(t, "2001:db8:1:2:ffff::1"), "ada", "correct horse", "", ClientLife); !errors.Is(err, ErrThrottled) {
		t.Errorf("another address of the same network: %v", err)
	}
	if _, err := tokens.Login(from(t, "2001:db8:1:3::1"), "ada", "correct horse", "", ClientLife); err != nil {
		t.Errorf("the network beside it: %v", err)
	}
}

func TestNamesAreLimitedOverAddresses(t *testing.T) {
	t.Parallel()
	tokens, now := access(t)
	for i := range failuresOfName {
		tokens.tries(from(t, fmt.Sprint("198.51.100.", i)), "Ada").count(&tokens.failures, *now)
	}
	if _, err := tokens.Login(from(t, "192.0.2.1"), "ada", "correct horse", "", ClientLife); !errors.Is(err, ErrThrottled) {
		t.Errorf("after guesses from everywhere: %v", err)
	}
}

// What is compared for users who are not known costs as much as what is kept of a password, and is nobody's.
func TestNobodyTakesAsLongAsSomebody(t *testing.T) {
	t.Parallel()
	now := time.Now()
	cheap := open(t, &now)
	usual, err := Open(t.Context(), cheap.db, time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	for want, tokens := range map[int]*Tokens{bcrypt.MinCost: cheap, bcrypt.DefaultCost: usual} {
		kept, err := tokens.hash("correct horse")
		if err != nil {
			t.Fatal(err)
		}
		for what, hash := range map[string][]byte{"somebody": []byte(kept), "nobody": nobody(want)} {
			if cost, err := bcrypt.Cost(hash); err != nil || cost != want || tokens.cost != want {
				t.Errorf("%s costs %d (%v), want %d", what, cost, err, want)
			}
		}
		if err := bcrypt.CompareHashAndPassword(nobody(want), []byte("correct horse")); !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
			t.Errorf("nobody at cost %d: %v", want, err)
		}
	}
}

// Guesses that come together are no more than guesses one by one.
func TestGuessesTogether(t *testing.T) {
	t.Parallel()
	tokens, _ := access(t)
	ctx := from(t, "192.0.2.66")
	var wg sync.WaitGroup
	var mu sync.Mutex
	looked := 0
	for i := range 4 * FailuresAllowed {
		wg.Go(func() {
			_, err := tokens.Login(ctx, "ada", fmt.Sprint("guess ", i), "", ClientLife)
			mu.Lock()
			defer mu.Unlock()
			if !errors.Is(err, ErrThrottled) {
				looked++
			}
		})
	}
	wg.Wait()
	if most := FailuresAllowed + hashers() - 1; looked < FailuresAllowed || looked > most {
		t.Errorf("%d passwords were looked at, want %d to %d", looked, FailuresAllowed, most)
	}
}

func TestVerifyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	tokens, _ := access(t)
	for range cap(tokens.hashing) {
		tokens.hashing <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tokens.Login(ctx, "ada", "correct horse", "", ClientLife); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestLongNamesTakeLittleMemory(t *testing.T) {
	t.Parallel()
	tokens, _ := access(t)
	if _, err := tokens.Login(t.Context(), strings.Repeat("ü", 1<<16), "x", "", ClientLife); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	for key := range tokens.failures.byKey {
		if len(key) > 2*longestName {
			t.Errorf("a key of %d bytes is kept", len(key))
		}
	}
}
