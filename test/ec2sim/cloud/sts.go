package cloud

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// session is somebody who has taken on a role.
type session struct {
	token, arn string
	ends       time.Time
}

// stsActions are what STS answers to.
var stsActions = map[string]action{"GetCallerIdentity": callerIdentity, "AssumeRole": assumeRole, "DecodeAuthorizationMessage": decodeRefusal}

// authenticate checks who asks as far as that is known here: the keys of [Cloud] sessions are, all others are let in. c.mu is held.
func (c *Cloud) authenticate(s scope, token string) error {
	who, known := c.sessions[s.key]
	switch {
	case !known:
		return nil
	case token != who.token && s.service == "sts":
		return &Error{Status: http.StatusForbidden, Code: "InvalidClientTokenId", Message: "The security token included in the request is invalid."}
	case token != who.token:
		return refusal("AuthFailure", "", s)
	case time.Now().After(who.ends) && s.service == "ec2":
		return refusal("RequestExpired", "", s)
	case time.Now().After(who.ends):
		return &Error{Status: http.StatusForbidden, Code: "ExpiredToken", Message: expiredSession}
	}
	return nil
}

// Expire ends all sessions of AssumeRole.
func (c *Cloud) Expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, who := range c.sessions {
		who.ends = time.Time{}
		c.sessions[key] = who
	}
}

func callerIdentity(c *call) (any, error) {
	arn := builder
	if who, there := c.sessions[c.scope.key]; there {
		arn = who.arn
	}
	return struct {
		ARN     string `xml:"Arn"`
		User    string `xml:"UserId"`
		Account string `xml:"Account"`
	}{arn, "AIDA" + c.scope.key, Account}, nil
}

func assumeRole(c *call) (any, error) {
	role, err := c.must("RoleArn")
	if err != nil {
		return nil, err
	}
	name, err := c.must("RoleSessionName")
	if err != nil {
		return nil, err
	}
	seconds, err := c.number("DurationSeconds", 3600)
	if err != nil {
		return nil, err
	}
	if seconds < 900 {
		return nil, problem("ValidationError", "1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900", seconds)
	}
	who := session{rand.Text(), strings.Replace(strings.Replace(role, ":iam:", ":sts:", 1), ":role/", ":assumed-role/", 1) + "/" + name, time.Now().Add(time.Duration(seconds) * time.Second)}
	key := "ASIA" + rand.Text()[:16]
	c.sessions[key] = who
	type credentials struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }
	return struct {
		Credentials credentials
		ARN         string `xml:"AssumedRoleUser>Arn"`
		ID          string `xml:"AssumedRoleUser>AssumedRoleId"`
	}{credentials{key, rand.Text(), who.token, stamp(who.ends)}, who.arn, "AROA:" + name}, nil
}

// decision is what a message about a missing permission says to who may read it.
type decision struct {
	Allowed      bool `json:"allowed"`
	ExplicitDeny bool `json:"explicitDeny"`
	Context      struct {
		Principal struct {
			ARN string `json:"arn"`
		} `json:"principal"`
		Action string `json:"action"`
	} `json:"context"`
}

// encodeRefusal is such a message, which is sealed in the real service.
func encodeRefusal(permission string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(permission))
}

func decodeRefusal(c *call) (any, error) {
	permission, err := base64.RawURLEncoding.DecodeString(c.text("EncodedMessage"))
	if err != nil || len(permission) == 0 {
		return nil, problem("InvalidAuthorizationMessageException", "The message is not an encoded authorization message")
	}
	var d decision
	d.Context.Principal.ARN, d.Context.Action = builder, string(permission)
	text, err := json.Marshal(d)
	return struct{ DecodedMessage string }{string(text)}, err
}
