-- A wrk script for bench.clients: sends POST requests, and prints the measurements as one line of JSON.
-- Arguments: the path of the URL, and a file with one JSON body per line. wrk measures times in microseconds.

local requests, last = {}, 0

function init(arguments)
  local headers = { ["Content-Type"] = "application/json" }
  for body in io.lines(arguments[2]) do
    requests[#requests + 1] = wrk.format("POST", arguments[1], headers, body)
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local p50, p99 = latency:percentile(50) / 1000, latency:percentile(99) / 1000
  local line = '{"rate": %.3f, "p50": %.3f, "p99": %.3f, "requests": %d, "failed": %d}'
  print(line:format(1e6 * summary.requests / summary.duration, p50, p99, summary.requests, failed))
end
