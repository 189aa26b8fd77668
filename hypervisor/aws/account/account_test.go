package account_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/test/ec2sim/cloud"
)

const secret = "canary-secret-key"

// open makes a cloud and somebody who uses it.
func open(t *testing.T, change func(*account.Access)) (*cloud.Cloud, *account.Account) {
	t.Helper()
	c := cloud.New(cloud.Config{Dir: t.TempDir(), Pace: time.Millisecond})
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	a := account.Access{
		Region: "us-east-1", Endpoint: s.URL, Keys: account.NewKeys("canary-key-id", secret, "canary-token", ""), SkipMetadata: true,
		MaxPause: time.Millisecond, Polling: account.Polling{Delay: time.Millisecond},
	}
	if change != nil {
		change(&a)
	}
	acc, err := account.Open(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return c, acc
}

func TestWhoami(t *testing.T) {
	t.Parallel()
	_, acc := open(t, nil)
	number, _, err := acc.In("").Whoami(t.Context())
	if err != nil || number != cloud.Account {
		t.Errorf("Whoami = %q, %v", number, err)
	}
}

// TestThrottled outlasts a storm that is longer than the SDK's own budget of retries, and does not outlast one without end.
func TestThrottled(t *testing.T) {
	t.Parallel()
	c, acc := open(t, func(a *account.Access) { a.Tries = 200 })
	c.Inject(cloud.Fault{Action: "DescribeVpcs", Code: "RequestLimitExceeded", Count: 150})
	if _, err := acc.In("").EC2.DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{}); err != nil {
		t.Errorf("150 refusals: %v", err)
	}
	c, acc = open(t, func(a *account.Access) { a.Tries = 3 })
	c.Inject(cloud.Fault{Action: "*", Code: "RequestLimitExceeded"})
	_, err := acc.In("").EC2.DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
	if !account.IsThrottled(err) || c.Calls()["DescribeVpcs"] != 3 {
		t.Errorf("after %d tries: %v", c.Calls()["DescribeVpcs"], err)
	}
}

// TestExplain tells what errors say, and that they tell no secrets.
func TestExplain(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"UnauthorizedOperation": "the permission ec2:DescribeVpcs is missing",
		"ExpiredToken":          "get new temporary credentials",
		"VcpuLimitExceeded":     "higher quota",
	} {
		c, acc := open(t, nil)
		c.Inject(cloud.Fault{Action: "*", Code: code})
		_, err := acc.In("").EC2.DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
		if err == nil || !strings.HasPrefix(err.Error(), "ec2:DescribeVpcs: "+code) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", code, err, want)
		}
		if account.Code(err) != code || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: code %q of %v", code, account.Code(err), err)
		}
	}
	// What is missing need not be what was called.
	api := &smithy.GenericAPIError{Code: "UnauthorizedOperation", Message: "You are not authorized to perform: nothing. User: u is not authorized to perform: ec2:CreateTags on resource: r. Encoded authorization failure message: abc"}
	if got := account.Explain(api, "ec2:RunInstances").Error(); !strings.Contains(got, "ec2:CreateTags is missing") || strings.Contains(got, "abc") {
		t.Error(got)
	}
}

// TestWrongRegion asks in a region that there is not.
func TestWrongRegion(t *testing.T) {
	t.Parallel()
	_, acc := open(t, func(a *account.Access) { a.Region = "us-esat-1" })
	_, err := acc.In("").EC2.DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
	if err == nil || !strings.Contains(err.Error(), "AuthFailure") || !strings.Contains(err.Error(), "region") {
		t.Error(err)
	}
	if err := (account.Access{Region: "Frankfurt"}).Check(); err == nil || !strings.Contains(err.Error(), "Frankfurt") {
		t.Errorf("Check = %v", err)
	}
}

// TestKeysAreNeverPrinted prints an access in every way.
func TestKeysAreNeverPrinted(t *testing.T) {
	t.Parallel()
	a := account.Access{Region: "us-east-1", Keys: account.NewKeys("canary-1", "canary-2", "canary-3", "canary-4")}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("access", "access", a, "keys", a.Keys)
	data, err := json.Marshal(a)
	all := fmt.Sprintf("%v %+v %#v %s %s %s", a, a, a, a.Keys, data, log.String())
	if err != nil || strings.Contains(all, "canary") {
		t.Errorf("%v: %s", err, all)
	}
}

func TestPoll(t *testing.T) {
	t.Parallel()
	notFound := &smithy.GenericAPIError{Code: "InvalidAMIID.NotFound"}
	other := errors.New("other")
	p := account.Poll{First: time.Microsecond, Last: time.Microsecond, Grace: time.Minute}
	asked := 0
	ask := func(errs ...error) func(context.Context) (bool, error) {
		asked = 0
		return func(context.Context) (bool, error) {
			asked++
			if asked <= len(errs) {
				return false, errs[asked-1]
			}
			return true, nil
		}
	}
	if err := p.UntilSeen(t.Context(), "it", ask(notFound, nil, notFound)); err != nil || asked != 4 {
		t.Errorf("UntilSeen = %v after %d", err, asked)
	}
	if err := p.Until(t.Context(), "it", ask(notFound)); !account.IsNotFound(err) {
		t.Errorf("Until = %v", err)
	}
	if err := p.UntilSeen(t.Context(), "it", ask(notFound, other)); err != other {
		t.Errorf("UntilSeen = %v", err)
	}
	p.Attempts = 2
	if err := p.Until(t.Context(), "it", ask(nil, nil)); err == nil || !strings.Contains(err.Error(), "aws_polling") {
		t.Errorf("Until with 2 attempts = %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(other)
	if err := p.Until(ctx, "it", ask(nil)); err != other {
		t.Errorf("Until that was cancelled = %v", err)
	}
	busy := &smithy.GenericAPIError{Code: "DependencyViolation"}
	_ = ask()
	err := p.Settle(t.Context(), account.IsInUse, func(context.Context) error {
		if asked++; asked < 3 {
			return busy
		}
		return nil
	})
	if err != nil || asked != 3 {
		t.Errorf("Settle = %v after %d", err, asked)
	}
}

// TestTags reads what was written, and tells attempts apart.
func TestTags(t *testing.T) {
	t.Parallel()
	tag := hypervisor.Tag{Install: "i", Build: "b", Attempt: 2}
	got, ok := account.OwnerOf(account.Tags(tag, "n", map[string]string{"Name": "mine", account.TagBuild: "stolen"}))
	if !ok || got != tag {
		t.Errorf("OwnerOf = %v, %t", got, ok)
	}
	if _, ok := account.OwnerOf(nil); ok {
		t.Error("something without tags is ours")
	}
	one, other := account.Token(tag, "run"), account.Token(hypervisor.Tag{Install: "i", Build: "b", Attempt: 3}, "run")
	if one == other || one != account.Token(tag, "run") || len(one) != 64 {
		t.Errorf("tokens %q and %q", one, other)
	}
}
