package auth

import (
	"context"
	"strconv"
	"strings"
)

// MayIssue tells whether p may make a token. An administrator may make any; who administers organisations may make tokens that are
// for those alone, and in no other user's name: what such a token does would be written down as done by him.
func (p Principal) MayIssue(s TokenSpec) bool {
	return p.Scope.Permits(Admin) || p.administers(s.User, s.Scope, s.Orgs)
}

// MayManage tells whether p may see that there is a token, and revoke it: one that he might have made, or one of his own.
func (p Principal) MayManage(t Token) bool {
	own := p.User != "" && strings.EqualFold(t.User, p.User) && p.PermitsIn(p.User, Admin)
	return own || p.Scope.Permits(Admin) || p.administers(t.User, t.Scope, t.Orgs)
}

// administers tells whether a token permits something in organisations alone that p administers.
func (p Principal) administers(user string, everywhere Scope, orgs map[string]Scope) bool {
	if everywhere != "" || len(orgs) == 0 || user != "" && !strings.EqualFold(user, p.User) {
		return false
	}
	for org := range orgs {
		if !p.PermitsIn(org, Admin) {
			return false
		}
	}
	return true
}

// revokeManaged is Revoke for somebody who may manage some tokens.
func (t *Tokens) revokeManaged(ctx context.Context, who Principal, nameOrID string) error {
	all, err := t.List(ctx)
	if err != nil {
		return err
	}
	err = noToken(nameOrID)
	for _, k := range all {
		if named := k.Name == nameOrID || strconv.FormatInt(k.ID, 10) == nameOrID; !named || !k.Revoked.IsZero() || !who.MayManage(k) {
			continue
		}
		if err = t.revoke(ctx, k.Name, `id = ?2`, k.ID); err != nil {
			return err
		}
	}
	return err
}
