//! Series text `name{k="v",…}` and the id that is made from it. (to be written)
