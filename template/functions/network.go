package functions

import (
	"fmt"
	"math/big"
	"net"
	"net/netip"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

func networks() map[string]function.Function {
	prefix := function.Parameter{Name: "prefix", Type: cty.String}
	number := func(name string) function.Parameter { return function.Parameter{Name: name, Type: cty.Number} }
	return map[string]function.Function{
		"cidrhost": function.New(&function.Spec{Params: []function.Parameter{prefix, number("hostnum")}, Type: function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return cidrHost(args[0].AsString(), args[1]) }}),
		"cidrnetmask": text(cidrNetmask),
		"cidrsubnet": function.New(&function.Spec{Params: []function.Parameter{prefix, number("newbits"), number("netnum")}, Type: function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return cidrSubnet(args[0].AsString(), args[1], args[2])
			}}),
		"cidrsubnets": function.New(&function.Spec{Params: []function.Parameter{prefix}, VarParam: &function.Parameter{Name: "newbits", Type: cty.Number},
			Type: function.StaticReturnType(cty.List(cty.String)),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return cidrSubnets(args[0].AsString(), args[1:])
			}}),
	}
}

func parsePrefix(name, s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%s: %q is not a network such as 10.0.0.0/8", name, s)
	}
	return p.Masked(), nil
}

// offset adds n to an address.
func offset(a netip.Addr, n *big.Int) (netip.Addr, bool) {
	sum := new(big.Int).Add(new(big.Int).SetBytes(a.AsSlice()), n)
	if sum.Sign() < 0 || sum.BitLen() > a.BitLen() {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(sum.FillBytes(make([]byte, a.BitLen()/8)))
}

// bigInt reads a whole number of any size.
func bigInt(name string, v cty.Value) (*big.Int, error) {
	n, accuracy := v.AsBigFloat().Int(nil)
	if accuracy != big.Exact || n == nil {
		return nil, fmt.Errorf("%s: a whole number is needed, not %s", name, v.AsBigFloat().Text('g', -1))
	}
	return n, nil
}

// cidrHost returns an address of a network; negative numbers count from its end.
func cidrHost(prefix string, host cty.Value) (cty.Value, error) {
	p, err := parsePrefix("cidrhost", prefix)
	if err != nil {
		return cty.NilVal, err
	}
	n, err := bigInt("cidrhost", host)
	if err != nil {
		return cty.NilVal, err
	}
	size := new(big.Int).Lsh(big.NewInt(1), uint(p.Addr().BitLen()-p.Bits()))
	if n.Sign() < 0 {
		n.Add(n, size)
	}
	if n.Sign() < 0 || n.Cmp(size) >= 0 {
		return cty.NilVal, fmt.Errorf("cidrhost: %s has no address number %s", prefix, host.AsBigFloat().Text('f', -1))
	}
	a, _ := offset(p.Addr(), n) // n is below the size, so there is such an address
	return cty.StringVal(a.String()), nil
}

func cidrNetmask(prefix string) (string, error) {
	p, err := parsePrefix("cidrnetmask", prefix)
	if err != nil {
		return "", err
	}
	if !p.Addr().Is4() {
		return "", fmt.Errorf("cidrnetmask: %s is not IPv4, which alone has netmasks", prefix)
	}
	return net.IP(net.CIDRMask(p.Bits(), 32)).String(), nil
}

func cidrSubnet(prefix string, newBits, number cty.Value) (cty.Value, error) {
	p, err := parsePrefix("cidrsubnet", prefix)
	if err != nil {
		return cty.NilVal, err
	}
	bits, err := whole("cidrsubnet", newBits)
	if err != nil {
		return cty.NilVal, err
	}
	n, err := bigInt("cidrsubnet", number)
	if err != nil {
		return cty.NilVal, err
	}
	length := p.Bits() + bits
	if bits < 0 || length > p.Addr().BitLen() {
		return cty.NilVal, fmt.Errorf("cidrsubnet: %s cannot be made %d bits longer", prefix, bits)
	}
	if n.Sign() < 0 || n.BitLen() > bits {
		return cty.NilVal, fmt.Errorf("cidrsubnet: %d bits do not hold the number %s", bits, n)
	}
	a, _ := offset(p.Addr(), n.Lsh(n, uint(p.Addr().BitLen()-length)))
	return cty.StringVal(netip.PrefixFrom(a, length).String()), nil
}

// cidrSubnets lays subnets of several sizes one behind the other.
func cidrSubnets(prefix string, newBits []cty.Value) (cty.Value, error) {
	p, err := parsePrefix("cidrsubnets", prefix)
	if err != nil {
		return cty.NilVal, err
	}
	out, next := []cty.Value{}, p.Addr()
	for _, v := range newBits {
		bits, err := whole("cidrsubnets", v)
		if err != nil {
			return cty.NilVal, err
		}
		length := p.Bits() + bits
		if bits < 1 || length > p.Addr().BitLen() {
			return cty.NilVal, fmt.Errorf("cidrsubnets: %s cannot be made %d bits longer", prefix, bits)
		}
		size := new(big.Int).Lsh(big.NewInt(1), uint(p.Addr().BitLen()-length))
		start, ok := align(next, size)
		if !ok || !p.Contains(start) {
			return cty.NilVal, fmt.Errorf("cidrsubnets: %s has no room for that many subnets", prefix)
		}
		out = append(out, cty.StringVal(netip.PrefixFrom(start, length).String()))
		if next, ok = offset(start, size); !ok {
			next = netip.Addr{}
		}
	}
	if len(out) == 0 {
		return cty.ListValEmpty(cty.String), nil
	}
	return cty.ListVal(out), nil
}

// align returns the first address from a on that is a multiple of size.
func align(a netip.Addr, size *big.Int) (netip.Addr, bool) {
	if !a.IsValid() {
		return a, false
	}
	rest := new(big.Int).Mod(new(big.Int).SetBytes(a.AsSlice()), size)
	if rest.Sign() == 0 {
		return a, true
	}
	return offset(a, rest.Sub(size, rest))
}
