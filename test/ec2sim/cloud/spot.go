package cloud

import (
	"strconv"
	"time"
)

// price is what a spot instance of any type costs for an hour, in dollars.
const price = 0.0040

// spotRequest is a request for a spot instance, which RunInstances makes as well as RequestSpotInstances.
type spotRequest struct {
	object
	state    string // open, active, closed, cancelled
	code     string // why
	maxPrice string
	token    string
	image    string
	kind     string
	instance string
}

func missingSpot(id string) error {
	return problem("InvalidSpotInstanceRequestID.NotFound", "The spot instance request ID '%s' does not exist", id)
}

// live tells whether a request has, or may still get, an instance.
func (s *spotRequest) live() bool { return s.state == "open" || s.state == "active" }

// over ends a request whose instance has ended.
func (s *spotRequest) over(reason string) {
	if s.live() {
		s.state, s.code = "closed", "instance-terminated-by-user"
		if reason == "Server.SpotInstanceTermination: Spot instance termination" {
			s.code = "instance-terminated-no-capacity"
		}
	}
}

// affordable tells whether a highest price, in dollars, is high enough; none always is.
func affordable(most string) (bool, error) {
	if most == "" {
		return true, nil
	}
	p, err := strconv.ParseFloat(most, 64)
	if err != nil || p <= 0 {
		return false, problem("InvalidParameterValue", "Invalid value '%s' for SpotPrice.", most)
	}
	return p >= price, nil
}

// spotMarket makes an instance of RunInstances one of the spot market.
func (c *call) spotMarket(in *instance, t tags) error {
	most := c.text("InstanceMarketOptions.SpotOptions.MaxPrice")
	enough, err := affordable(most)
	if err != nil {
		return err
	}
	if !enough {
		return problem("SpotMaxPriceTooLow", "Your Spot request price of %s is lower than the minimum required Spot request fulfillment price of %.4f.", most, price)
	}
	s := &spotRequest{object: c.fresh("sir", "RunInstances"), state: "active", code: "fulfilled", maxPrice: most, image: in.image, kind: in.kind, instance: in.id}
	s.tags = t
	c.region.spots[s.id] = s
	in.spot = s.id
	return nil
}

func requestSpot(c *call) (any, error) {
	var out struct {
		Requests []spotItem `xml:"spotInstanceRequestSet>item"`
	}
	id, err := c.made()
	if err != nil {
		return nil, err
	}
	s := c.region.spots[id]
	if s == nil {
		if s, err = c.newSpot(); err != nil {
			return nil, err
		}
		c.remember(s.id)
	}
	out.Requests = []spotItem{s.item()}
	return out, nil
}

// newSpot makes the request that a call asks for, and its instance if it can be had.
func (c *call) newSpot() (*spotRequest, error) {
	if c.or("InstanceCount", "1") != "1" || c.or("Type", "one-time") != "one-time" {
		return nil, problem("UnsupportedOperation", "persistent requests, and those of more than one instance, are not simulated")
	}
	enough, err := affordable(c.text("SpotPrice"))
	if err != nil {
		return nil, err
	}
	t, err := c.tagged("spot-instances-request")
	if err != nil {
		return nil, err
	}
	s := &spotRequest{object: c.fresh("sir", "RequestSpotInstances"), state: "open", maxPrice: c.text("SpotPrice"), token: c.text("ClientToken"),
		image: c.text("LaunchSpecification.ImageId"), kind: c.text("LaunchSpecification.InstanceType")}
	s.tags = t["spot-instances-request"]
	switch {
	case !enough:
		s.code = "price-too-low"
	case c.spoiled("RequestSpotInstances", NoCapacity):
		s.code = "capacity-not-available"
	default:
		launch := call{c.Cloud, c.sub("LaunchSpecification"), c.scope, c.region}
		in, err := launch.launch()
		if err != nil {
			return nil, err
		}
		in.spot, s.instance, s.state, s.code = s.id, in.id, "active", "fulfilled"
	}
	c.region.spots[s.id] = s
	return s, nil
}

// shown is the state that others see: a request is looked at for a while.
func (s *spotRequest) shown() (state, code, instance string) {
	if s.state == "active" && time.Now().Before(s.ready) {
		return "open", "pending-evaluation", ""
	}
	return s.state, s.code, s.instance
}

type spotItem struct {
	ID       string    `xml:"spotInstanceRequestId"`
	Price    string    `xml:"spotPrice,omitempty"`
	Type     string    `xml:"type"`
	State    string    `xml:"state"`
	Code     string    `xml:"status>code"`
	Message  string    `xml:"status>message"`
	Image    string    `xml:"launchSpecification>imageId"`
	Kind     string    `xml:"launchSpecification>instanceType"`
	Instance string    `xml:"instanceId,omitempty"`
	Created  string    `xml:"createTime"`
	Tags     []tagItem `xml:"tagSet>item"`
}

func (s *spotRequest) item() spotItem {
	it := spotItem{ID: s.id, Price: s.maxPrice, Type: "one-time", Image: s.image, Kind: s.kind, Created: stamp(s.born), Tags: s.tags.items()}
	it.State, it.Code, it.Instance = s.shown()
	it.Message = it.Code
	return it
}

func describeSpots(c *call) (any, error) {
	var out struct {
		Requests []spotItem `xml:"spotInstanceRequestSet>item"`
	}
	found, err := describe(c.region.spots, func(s *spotRequest) *object { return &s.object }, c.list("SpotInstanceRequestId"), c.params, func(s *spotRequest) attributes {
		state, code, instance := s.shown()
		return attributes{"spot-instance-request-id": {s.id}, "state": {state}, "status-code": {code}, "instance-id": {instance}, "launch.image-id": {s.image}}
	}, missingSpot)
	for _, s := range found {
		out.Requests = append(out.Requests, s.item())
	}
	return out, err
}

// cancelSpots ends requests; their instances go on.
func cancelSpots(c *call) (any, error) {
	type item struct {
		ID    string `xml:"spotInstanceRequestId"`
		State string `xml:"state"`
	}
	var out struct {
		Requests []item `xml:"spotInstanceRequestSet>item"`
	}
	for _, id := range c.list("SpotInstanceRequestId") {
		s, found := c.region.spots[id]
		if !found || !s.asked() {
			return nil, missingSpot(id)
		}
		if s.live() {
			s.state, s.code = "cancelled", "canceled-before-fulfillment"
			if s.instance != "" {
				s.code = "request-canceled-and-instance-running"
			}
		}
		out.Requests = append(out.Requests, item{s.id, s.state})
	}
	return out, nil
}
