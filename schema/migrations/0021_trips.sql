-- What lies in the same three hours of a person's clock is one trip, in whatever order it is told: a rhythm remembers the hours of ten days.
-- migrate:up

-- Instead of the instant of the last visit: the number of the newest trip and 240 bits; of what was counted until now no hour is known.
update user_state
   set rhythm = substring(rhythm from 1 for 4) || decode(repeat('00', 34), 'hex') || substring(rhythm from 9)
 where length(rhythm) = 680;
